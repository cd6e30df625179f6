// SPDX-License-Identifier: Apache-2.0
//
// Runs that fail on files, and all that is served meanwhile: no answer names a path of the machine,
// while the log does.
import Foundation
import Glibc
import Support
import Synchronization
import Testing

struct HTTPPathTests {
    /// Reads every page again and again until it is ended, and keeps what was served.
    private final class Reader: Sendable {
        private let isEnded = Atomic(false)
        private let pages = Mutex<Set<String>>([])

        init(_ wire: HTTPWire) {
            Thread.detachNewThread { [self] in
                while !isEnded.load(ordering: .acquiring) {
                    for path in ["/status", "/healthz", "/readyz", "/", "/metrics"] {
                        guard let text = try? wire.get(path).text else { continue }
                        pages.withLock { _ = $0.insert(text) }
                    }
                    usleep(5_000)
                }
            }
        }

        deinit { end() }

        func end() { isEnded.store(true, ordering: .releasing) }

        var served: Set<String> { pages.withLock(\.self) }

        /// Waits until an error was served to this reader, too.
        func see(_ code: String) async throws {
            try await eventually("an answer with \(code)") {
                served.contains { $0.contains("\"code\" : \"\(code)\"") }
            }
        }
    }

    /// Expects that no path was served that begins with one of these, and that the log names it.
    private func expectNone(
        of paths: [String],
        in reader: Reader,
        log: String,
        at location: SourceLocation = #_sourceLocation
    ) {
        reader.end()
        let served = reader.served
        for path in paths {
            let leaks = served.filter { $0.contains(path) }
            #expect(leaks.isEmpty, "\(path) in \(leaks.first ?? "")", sourceLocation: location)
            #expect(log.contains(path), "the log does not name \(path)", sourceLocation: location)
        }
    }

    @Test
    func `a socket of the source is served by its name`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(SharedCluster.orders)
        var task = try OddTask("path_socket", on: cluster)
        task.host = cluster.socketDirectory
        let port = try FreePort.find()
        task.httpPort = port
        try cluster.stop()
        let daemon = try task.start()
        let reader = Reader(HTTPWire(port: port))
        let socket = ".s.PGSQL.\(cluster.port)"
        try await daemon.until(.seconds(30), "an attempt to connect") {
            try await task.get("/status").body.contains(socket)
        }
        let status = try DaemonProcess(["status", "--url", "http://127.0.0.1:\(port)"])
        #expect(try await status.wait() == .code(0))
        #expect(status.stdout.contains(socket))
        #expect(!status.stdout.contains(cluster.socketDirectory))
        try await reader.see("source.unreachable")
        #expect(try await daemon.stop() == .code(0))
        expectNone(of: [cluster.socketDirectory], in: reader, log: daemon.stderr)
    }

    @Test
    func `a password file that is gone is served by its name`() async throws {
        let cluster = try await SharedCluster.asking.cluster
        var task = try OddTask("path_password", on: cluster)
        task.database = try cluster.createDatabase("path_password")
        try cluster.psql(
            SharedCluster.orders + "GRANT SELECT ON orders TO cdc;"
                + "GRANT CREATE ON DATABASE path_password TO cdc; ALTER TABLE orders OWNER TO cdc;",
            database: task.database
        )
        task.user = "cdc"
        task.sourceLines = ["passwordFile: password"]
        // A running task waits so long for the file to come back.
        task.retry = "10s"
        let file = try task.files.write(OddTask.password, to: "password")
        let port = try FreePort.find()
        task.httpPort = port
        let daemon = try await task.stream()
        let reader = Reader(HTTPWire(port: port))
        try FileManager.default.removeItem(atPath: file)
        try cluster.psql(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                + " WHERE slot_name = '\(task.slot)'"
        )
        try await reader.see("settings.secret_file")
        let outcome = try await task.outcome(of: daemon)
        #expect(outcome.status == .code(78), "\(outcome.stderr)")
        expectNone(of: [task.files.path], in: reader, log: outcome.stderr)
        #expect(outcome.stderr.contains("The password file \(file) cannot be read"))
    }

    @Test(.enabled(if: Tmpfs.isPossible, "only root can mount a small file system"))
    func `a full disk is served without its place`() async throws {
        let disk = try Tmpfs(mebibytes: 1)
        try await withFailingSink(
            "path_full",
            directory: disk.path + "/events",
            code: "sink.disk_full",
            spoil: {}
        )
    }

    @Test
    func `a file that cannot be written is served without its place`() async throws {
        let files = try TemporaryDirectory()
        let directory = files.file("events")
        try await withFailingSink("path_file", directory: directory, code: "sink.write_failed") {
            // Root may write everywhere, but not into what is no file.
            #expect(mkdir("\(directory)/checkpoint.json.tmp", 0o700) == 0)
        }
    }

    /// Streams into a directory, spoils it, writes more than it takes, and looks at what is served.
    private func withFailingSink(
        _ name: String,
        directory: String,
        code: String,
        spoil: () throws -> Void
    ) async throws {
        var (task, cluster) = try await SharedCluster.trusting.task(name)
        task.sinkDirectory = directory
        let port = try FreePort.find()
        task.httpPort = port
        let daemon = try await task.stream()
        let reader = Reader(HTTPWire(port: port))
        try spoil()
        try cluster.psql(
            "INSERT INTO orders SELECT i, repeat('x', 1000) FROM generate_series(10, 3000) i",
            database: task.database
        )
        var found = ""
        try await daemon.until(.seconds(30), "an error of the sink") {
            let error = try await task.statusDocument()["lastError"] as? [String: Any]
            found = error?["code"] as? String ?? ""
            return found.hasPrefix("sink.")
        }
        #expect(found == code)
        try await reader.see(code)
        daemon.kill(SIGTERM)
        try await daemon.wait()
        expectNone(of: [directory], in: reader, log: daemon.stderr)
    }
}
