// SPDX-License-Identifier: Apache-2.0
//
// One directory for all that a test process writes, short enough for Unix sockets below it.
// It goes when the process exits; what a killed process left goes at the next one's start: a
// lock held on a file in it tells the living from the dead, in whatever pid namespace they are.
import Foundation
import Glibc
import Synchronization

enum Scratch {
    private static let prefix = "walrelay-test-"
    private static let counter = Atomic<Int>(0)

    /// Made at first use; trouble shows at the first thing that is put into it.
    static let root: String = {
        sweep()
        var template = Array("/tmp/\(prefix)XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { return "/nonexistent" }
        let path = template.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.map { String(cString: $0) } ?? "/nonexistent"
        }
        // Servers run as another user and must be able to pass through.
        chmod(path, 0o711)
        let lock = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        _ = flock(lock, LOCK_EX | LOCK_NB)
        atexit {
            PostgresCluster.quitAll()
            try? FileManager.default.removeItem(atPath: Scratch.root)
        }
        return path
    }()

    /// A new empty directory with a short path.
    static func directory(_ name: String) throws -> String {
        let number = counter.add(1, ordering: .relaxed).newValue
        let path = "\(root)/\(name)\(number)"
        guard mkdir(path, 0o755) == 0 else { throw SupportError("\(path): \(errnoText())") }
        return path
    }

    private static func sweep() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/tmp")) ?? []
        for name in names where name.hasPrefix(prefix) {
            let lock = open("/tmp/\(name)/lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
            guard lock >= 0 else { continue }
            defer { close(lock) }
            // A process between mkdtemp and flock has not locked yet: young ones are left alone.
            var facts = stat()
            guard fstat(lock, &facts) == 0, time(nil) - facts.st_mtim.tv_sec > 60,
                flock(lock, LOCK_EX | LOCK_NB) == 0
            else { continue }
            try? FileManager.default.removeItem(atPath: "/tmp/\(name)")
        }
    }
}

/// A directory that is removed with its contents when the last reference goes.
public final class TemporaryDirectory: Sendable {
    /// The absolute path.
    public let path: String

    /// Makes an empty directory of the test's own user.
    public init() throws {
        path = try Scratch.directory("d")
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// The absolute path of `name` in it.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file in it and gives its absolute path.
    @discardableResult
    public func write(_ text: String, to name: String) throws -> String {
        let target = file(name)
        try text.write(toFile: target, atomically: false, encoding: .utf8)
        return target
    }
}

/// Ports on 127.0.0.1 that nothing listens on.
public enum FreePort {
    /// Below the range that outgoing connections use, so that none of them takes one.
    private static let all = 15_000..<32_000
    /// Given to callers who may not have bound them yet, or not for good.
    private static let given = Mutex<Set<Int>>([])

    /// A port that no other caller of this process is given, as long as there are others.
    ///
    /// Another process may still take it before the caller does: try again with another then.
    public static func find() throws -> Int {
        try given.withLock { given in
            for _ in 0..<2 {
                let start = Int.random(in: all)
                for port in [start..<all.upperBound, all.lowerBound..<start].joined()
                where !given.contains(port) && isFree(port) {
                    given.insert(port)
                    return port
                }
                given.removeAll()
            }
            throw SupportError("no free port between \(all.lowerBound) and \(all.upperBound)")
        }
    }

    private static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
