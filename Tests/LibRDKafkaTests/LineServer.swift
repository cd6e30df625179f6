// SPDX-License-Identifier: Apache-2.0
//
// Something that listens on a port and is no Kafka broker.

#if Kafka
import Glibc
import Support
import Synchronization

/// A server on 127.0.0.1 that answers everybody with the same bytes, or with nothing.
final class LineServer: Sendable {
    let port: Int
    private let listener: Int32
    private let accepted = Mutex<[Int32]>([])

    /// Listens; with `nil` connections are taken by the kernel and nobody ever answers.
    init(answer: String?) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 16) == 0
                    && getsockname(listener, $0, &length) == 0
            }
        }
        guard isBound else { throw SupportError("no port to listen on") }
        self.listener = listener
        port = Int(UInt16(bigEndian: address.sin_port))
        guard let answer else { return }
        Task.detached { [weak self] in
            while let connection = await Self.connection(on: listener) {
                _ = answer.withCString {
                    send(connection, $0, strlen($0), Int32(MSG_NOSIGNAL))
                }
                shutdown(connection, Int32(SHUT_WR))
                guard let self else {
                    close(connection)
                    return
                }
                accepted.withLock { $0.append(connection) }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        for connection in accepted.withLock({ $0 }) { close(connection) }
    }

    private static func connection(on listener: Int32) async -> Int32? {
        try? await onThread {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { throw SupportError("closed") }
            return connection
        }
    }
}
#endif
