// SPDX-License-Identifier: Apache-2.0
//
// A client of the daemon's HTTP that sends the bytes it is told, however wrong they are, and shows
// what came. Every call blocks; one that waits for half a minute has failed.
import Foundation
import Glibc
import Support

/// The daemon's HTTP port on loopback.
struct HTTPWire: Sendable {
    let port: Int

    /// One reply.
    struct Reply: Sendable {
        var text: String

        var code: Int? {
            text.hasPrefix("HTTP/1.1 ") ? Int(text.dropFirst(9).prefix(3)) : nil
        }

        var body: String {
            text.range(of: "\r\n\r\n").map { String(text[$0.upperBound...]) } ?? ""
        }
    }

    /// A connection; the caller closes it.
    func connect() throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SupportError("socket: \(errno)") }
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let code = errno
            close(descriptor)
            throw SupportError("connect to \(port): \(code)")
        }
        return descriptor
    }

    /// Sends as much as the daemon takes; a daemon that has closed takes nothing.
    @discardableResult
    static func send(_ bytes: [UInt8], to descriptor: Int32) -> Int {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { break }
            sent += count
        }
        return sent
    }

    /// What comes until the daemon closes; nil when the time is over first.
    static func receive(from descriptor: Int32) -> Reply? {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            // A reset is an end like another.
            if count == 0 || count < 0 && errno == ECONNRESET {
                return Reply(text: String(decoding: received, as: UTF8.self))
            }
            guard count > 0 else { return nil }
            received += buffer[..<count]
        }
    }

    /// Sends bytes on a connection of their own and gives what comes until its end.
    func exchange(_ bytes: [UInt8], endsInput: Bool = false) throws -> Reply {
        let descriptor = try connect()
        defer { close(descriptor) }
        Self.send(bytes, to: descriptor)
        if endsInput { shutdown(descriptor, Int32(SHUT_WR)) }
        guard let reply = Self.receive(from: descriptor) else {
            throw SupportError("no end within half a minute")
        }
        return reply
    }

    /// Asks for a page.
    func get(_ path: String, _ headers: String...) throws -> Reply {
        let lines = ["GET \(path) HTTP/1.1", "Host: 127.0.0.1", "Connection: close"] + headers
        return try exchange(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8))
    }
}
