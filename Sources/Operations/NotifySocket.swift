// SPDX-License-Identifier: Apache-2.0
//
// The transport of sd_notify(3): one datagram a message to the AF_UNIX socket that systemd names in
// $NOTIFY_SOCKET. Sending never blocks; what cannot be sent now is sent again by the caller.

import Glibc

/// A connectionless socket to the service manager.
struct NotifySocket: ~Copyable, Sendable {
    /// Why the socket cannot be used.
    struct Failure: Error, Equatable, CustomStringConvertible {
        var description: String
    }

    private let descriptor: Int32

    /// Opens a socket to a path, or to an abstract name that begins with `@`.
    init(address: String) throws(Failure) {
        let name = Array(address.utf8)
        // One byte of sun_path is left for the terminating zero of a path.
        guard name.count > 1, name.count < MemoryLayout.size(ofValue: sockaddr_un().sun_path) else {
            throw Failure(description: "its name is empty or too long")
        }
        guard name[0] == UInt8(ascii: "/") || name[0] == UInt8(ascii: "@") else {
            throw Failure(description: "only a path or an @abstract name is understood")
        }
        var target = sockaddr_un()
        target.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &target.sun_path) { path in
            path.copyBytes(from: name)
            if name[0] == UInt8(ascii: "@") { path[0] = 0 }
        }
        // The length matters for an abstract name: trailing zeros would belong to it.
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        let opened = socket(
            AF_UNIX,
            Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue),
            0
        )
        guard opened >= 0 else { throw Self.failure(errno) }
        let connected = withUnsafePointer(to: &target) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(opened, $0, length)
            }
        }
        guard connected == 0 else {
            let code = errno
            close(opened)
            throw Self.failure(code)
        }
        descriptor = opened
    }

    deinit {
        close(descriptor)
    }

    /// Sends one message, or throws at once.
    func send(_ message: String) throws(Failure) {
        let bytes = Array(message.utf8)
        let sent = bytes.withUnsafeBytes { buffer in
            Glibc.send(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL))
        }
        guard sent == bytes.count else { throw Self.failure(errno) }
    }

    private static func failure(_ code: Int32) -> Failure {
        Failure(description: String(cString: strerror(code)))
    }
}
