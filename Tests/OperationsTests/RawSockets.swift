// SPDX-License-Identifier: Apache-2.0
//
// Plain sockets for the tests: an HTTP client that shows the bytes as they came, and the datagram
// socket that plays systemd. Blocking calls run on a thread of their own, with a time limit.

import Foundation
import Glibc

struct SocketFault: Error, CustomStringConvertible {
    var description: String

    init(_ call: String) { description = "\(call): \(String(cString: strerror(errno)))" }
}

/// Runs a blocking body on a thread of its own: the global queues share the cooperative pool's.
func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
    }
}

private func limitWaits(_ descriptor: Int32, seconds: Int) {
    var limit = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(
        descriptor,
        SOL_SOCKET,
        SO_RCVTIMEO,
        &limit,
        socklen_t(MemoryLayout<timeval>.size)
    )
}

/// One reply as it came over the wire.
struct RawReply: Sendable {
    var head: String
    var body: String

    var status: String { String(head.split(separator: "\r\n").first ?? "") }

    func header(_ name: String) -> String? {
        for line in head.split(separator: "\r\n").dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == name.lowercased() else { continue }
            return String(parts[1].drop { $0 == " " })
        }
        return nil
    }
}

enum RawHTTP {
    static func get(_ path: String, port: UInt16, method: String = "GET") async throws -> RawReply {
        let request = "\(method) \(path) HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        return reply(try await exchange(request, port: port))
    }

    /// The head and the body of what came over the wire.
    static func reply(_ text: String) -> RawReply {
        let bytes = Array(text.utf8)
        let separator = Array("\r\n\r\n".utf8)
        let end = bytes.indices.first { bytes[$0...].starts(with: separator) } ?? bytes.count
        return RawReply(
            head: String(decoding: bytes[..<end], as: UTF8.self),
            body: String(decoding: bytes[min(end + 4, bytes.count)...], as: UTF8.self)
        )
    }

    /// Sends the text to the loopback port and reads until the server closes.
    static func exchange(
        _ text: String,
        port: UInt16,
        halfClose: Bool = false
    ) async throws -> String {
        try await blocking {
            let descriptor = try connectLoopback(port: port)
            defer { close(descriptor) }
            let request = Array(text.utf8)
            guard send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count
            else { throw SocketFault("send") }
            if halfClose { shutdown(descriptor, Int32(SHUT_WR)) }
            var received: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                guard count >= 0 else { throw SocketFault("recv") }
                if count == 0 { return String(decoding: received, as: UTF8.self) }
                received += buffer[..<count]
            }
        }
    }

    static func connectLoopback(port: UInt16) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw SocketFault("socket") }
        limitWaits(descriptor, seconds: 20)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let fault = SocketFault("connect")
            close(descriptor)
            throw fault
        }
        return descriptor
    }
}

/// The end of the notification socket that systemd holds.
final class NotificationReceiver: Sendable {
    /// What NOTIFY_SOCKET is to say.
    let address: String
    private let descriptor: Int32

    /// Binds to an abstract name, or to a path when one is given.
    init(path: String? = nil) throws {
        let name = "walrelay-test-\(getpid())-\(UInt64.random(in: .min ... .max))"
        let text = path ?? "@" + name
        address = text
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        guard descriptor >= 0 else { throw SocketFault("socket") }
        limitWaits(descriptor, seconds: 20)
        var local = sockaddr_un()
        local.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &local.sun_path) { bytes in
            bytes.copyBytes(from: Array(text.utf8))
            if text.hasPrefix("@") { bytes[0] = 0 }
        }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + text.utf8.count)
        let result = withUnsafePointer(to: &local) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length)
            }
        }
        guard result == 0 else { throw SocketFault("bind") }
    }

    deinit { close(descriptor) }

    /// The next datagram; fails after twenty seconds of silence.
    func next() async throws -> String {
        let descriptor = descriptor
        return try await blocking {
            var buffer = [UInt8](repeating: 0, count: 8192)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count >= 0 else { throw SocketFault("recv") }
            return String(decoding: buffer[..<count], as: UTF8.self)
        }
    }

    /// Datagrams up to and with the first that has the given line.
    func until(_ line: String) async throws -> [String] {
        var seen: [String] = []
        while true {
            let datagram = try await next()
            seen.append(datagram)
            if datagram.split(separator: "\n").contains(where: { $0 == line }) { return seen }
        }
    }

    /// What waits in the socket now, without waiting.
    func pending() -> [String] {
        var all: [String] = []
        var buffer = [UInt8](repeating: 0, count: 8192)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count < 0 { return all }
            all.append(String(decoding: buffer[..<count], as: UTF8.self))
        }
    }
}
