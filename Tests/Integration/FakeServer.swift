// SPDX-License-Identifier: Apache-2.0
//
// Servers and disks that no machine has at hand: something that listens on a port and is no
// PostgreSQL of these days, and a file system that is small or read-only.
import Foundation
import Glibc
import Support
import Synchronization

/// Listens on a loopback port and plays a server badly; ends with the last reference.
final class FakeServer: Sendable {
    enum Manner: Sendable {
        /// Accepts and never says a word.
        case silent
        /// Lets everybody in, says this version, and knows no function of later ones.
        case version(String)
    }

    let port: Int
    private let listener: Int32
    private let accepted = Mutex<[Int32]>([])

    init(_ manner: Manner) throws {
        port = try FreePort.find()
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        self.listener = listener
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard bound == 0, listen(listener, 8) == 0 else { throw SupportError("bind: \(errno)") }
        guard case .version(let version) = manner else { return }
        Thread.detachNewThread {
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                Thread.detachNewThread {
                    Self.serve(client, version: version)
                    close(client)
                }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private static func serve(_ client: Int32, version: String) {
        // TLS and GSS encryption are refused until the plain startup message comes.
        while true {
            guard let length = length(client), let body = bytes(client, length) else { return }
            let code = body.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            guard code == 80_877_103 || code == 80_877_104 else {
                break
            }
            put(client, [UInt8(ascii: "N")])
        }
        let ready = message("Z", [UInt8(ascii: "I")])
        put(client, message("R", [0, 0, 0, 0]) + message("S", text("server_version", version)))
        put(client, message("S", text("client_encoding", "UTF8")))
        put(client, message("K", [0, 0, 0, 1, 0, 0, 0, 2]) + ready)
        while let kind = bytes(client, 1)?.first, let length = length(client) {
            guard bytes(client, length) != nil, kind != UInt8(ascii: "X") else { return }
            let error = text("SERROR", "C42883", "Mfunction pg_current_wal_lsn() does not exist")
            put(client, message("E", error + [0]) + ready)
        }
    }

    private static func text(_ parts: String...) -> [UInt8] {
        parts.flatMap { Array($0.utf8) + [0] }
    }

    private static func message(_ kind: Character, _ body: [UInt8]) -> [UInt8] {
        let length = UInt32(body.count + 4)
        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
        return [kind.asciiValue ?? 0] + bytes + body
    }

    private static func put(_ client: Int32, _ bytes: [UInt8]) {
        _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    private static func length(_ client: Int32) -> Int? {
        bytes(client, 4).map { $0.reduce(0) { $0 << 8 | Int($1) } - 4 }
    }

    private static func bytes(_ client: Int32, _ count: Int) -> [UInt8]? {
        guard (0...1 << 20).contains(count) else { return nil }
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: max(1, count))
        while all.count < count {
            let got = recv(client, &chunk, count - all.count, 0)
            guard got > 0 else { return nil }
            all += chunk[..<got]
        }
        return all
    }
}

/// A tmpfs of its own, for root alone; unmounted with the last reference.
final class TemporaryFileSystem: Sendable {
    /// Whether this process may mount one.
    static let isPossible: Bool = (try? TemporaryFileSystem(options: "size=64k")) != nil

    let path: String
    private let parent: TemporaryDirectory

    init(options: String) throws {
        parent = try TemporaryDirectory()
        path = parent.file("disk")
        mkdir(path, 0o755)
        let output = try runProcess("/bin/mount", ["-t", "tmpfs", "-o", options, "none", path])
        guard output.status == .code(0) else { throw SupportError(output.stderr) }
    }

    deinit { umount2(path, Int32(MNT_DETACH)) }

    /// Takes all the room there is.
    func fill() throws {
        let file = open("\(path)/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(file) }
        let zeros = [UInt8](repeating: 0, count: 4096)
        while write(file, zeros, zeros.count) > 0 {}
        guard errno == ENOSPC else { throw SupportError("filling \(path): \(errno)") }
    }

    /// Gives the room back.
    func clear() throws {
        guard unlink("\(path)/filler") == 0 else { throw SupportError("unlink: \(errno)") }
    }
}
