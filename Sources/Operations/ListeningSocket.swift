// SPDX-License-Identifier: Apache-2.0
//
// From an address to a socket that listens. A host name may stand for several addresses (localhost
// is often ::1 and 127.0.0.1); they are tried in the resolver's order.

public import ChangeModel
import Glibc

/// A socket that clients connect to; closed when the last reference goes.
final class ListeningSocket: Sendable {
    /// Never blocks: a connection that ended before it was accepted would keep the thread.
    let descriptor: Int32
    /// Where it listens, with the true port.
    let address: ListenAddress

    /// Listens; blocks while a name is looked up.
    ///
    /// - Throws: `http.address_unknown` when the host has no address, else what the system says of
    ///   the last of its addresses, such as `http.address_in_use`; exit 78.
    init(_ listen: ListenAddress) throws(WalrelayError) {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(listen.host, String(listen.port), &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard code == 0, var entry = list else {
            throw listen.unknown(
                code == 0 ? "it has no address" : String(cString: gai_strerror(code))
            )
        }
        while true {
            let opened = Self.open(entry.pointee)
            if opened >= 0 {
                descriptor = opened
                address = ListenAddress(socket: opened) ?? listen
                return
            }
            let refusal = listen.refusal(errno: errno)
            guard let next = entry.pointee.ai_next else { throw refusal }
            entry = next
        }
    }

    deinit { close(descriptor) }

    /// Lets go of the port, for a socket that takes another address of it; connections that were
    /// not accepted yet are reset.
    func pause() { shutdown(descriptor, Int32(SHUT_RD)) }

    /// Listens again after a pause; returns whether it does.
    func resume() -> Bool { listen(descriptor, SOMAXCONN) == 0 }

    /// A socket that listens, or -1 with the reason in errno.
    private static func open(_ info: addrinfo) -> Int32 {
        let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(info.ai_family, info.ai_socktype | flags, info.ai_protocol)
        guard descriptor >= 0 else { return -1 }
        // What a former process left in TIME_WAIT does not keep the port.
        set(descriptor, SO_REUSEADDR, 1)
        // Connections inherit it: what clients do not read is not to fill the kernel's memory,
        // which counts for the service's limit.
        set(descriptor, SO_SNDBUF, 128 << 10)
        guard bind(descriptor, info.ai_addr, info.ai_addrlen) == 0,
            listen(descriptor, SOMAXCONN) == 0
        else {
            let code = errno
            close(descriptor)
            errno = code
            return -1
        }
        return descriptor
    }

    private static func set(_ descriptor: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

extension ListenAddress {
    /// Tries whether the address can be listened on, and lets go of it at once.
    ///
    /// For a start that should fail before it has touched anything; the true answer is that of
    /// ``HealthService/run()``. Blocks while a name is looked up.
    ///
    /// - Throws: the same errors as ``HealthService/run()``, such as `http.address_in_use`.
    public func probe() throws(WalrelayError) {
        _ = try ListeningSocket(self)
    }

    /// The address that a socket is bound to, in numbers.
    fileprivate init?(socket: Int32) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        var port = [CChar](repeating: 0, count: Int(NI_MAXSERV))
        let code = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard getsockname(socket, address, &length) == 0 else { return EAI_SYSTEM }
                let flags = NI_NUMERICHOST | NI_NUMERICSERV
                let (hostLength, portLength) = (socklen_t(host.count), socklen_t(port.count))
                return getnameinfo(address, length, &host, hostLength, &port, portLength, flags)
            }
        }
        func text(_ characters: [CChar]) -> String {
            String(
                decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) },
                as: UTF8.self
            )
        }
        guard code == 0, let number = UInt16(text(port)) else { return nil }
        self.init(host: text(host), port: number)
    }
}
