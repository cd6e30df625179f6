// SPDX-License-Identifier: Apache-2.0
//
// SIGHUP on a running daemon: each setting that is taken over, seen from outside; what waits for
// the next start is named; wrong settings change nothing and are told whole.
import Foundation
import Glibc
import Support
import Testing

@Suite struct ReloadTests {
    @Test func `the log's level and form change at once`() async throws {
        var (task, _) = try await SharedCluster.trusting.task("r_log")
        task.lines = ["log: { level: error }"]
        let daemon = try task.start()
        task.httpPort = nil
        try await daemon.until { try task.ids() == ["1", "2"] }
        #expect(!daemon.stderr.contains("streaming"))
        task.lines = ["log: { level: debug, format: json }"]
        try await task.reload(daemon, expecting: "\"settings reloaded\"")
        #expect(daemon.stderr.contains("\"applied\":\"log.level, log.format\""))
        task.lines = ["log: { level: info, format: text }"]
        try await task.reload(daemon, expecting: "note  settings reloaded")
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `the bounds of batches change for the stream that runs`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("r_batch")
        task.lines = ["batch: { delay: 60s }"]
        let daemon = try await task.stream()
        try await daemon.until { try task.slot("active", on: cluster) == "t" }
        let holder = try task.slot("active_pid", on: cluster)
        // Waits for a minute as things are: nothing of it may come before the reload.
        try cluster.psql("INSERT INTO orders VALUES (3)", database: task.database)
        try await Task.sleep(for: .milliseconds(300))
        #expect(try task.ids() == ["1", "2"])
        task.lines = ["batch: { delay: 0s, rows: 7, bytes: 64KiB }", "snapshot: { workers: 2 }"]
        try await task.reload(
            daemon,
            expecting: "applied=\"snapshot.workers, batch.rows, batch.bytes, batch.delay\""
        )
        try await daemon.until { try task.ids() == ["1", "2", "3"] }
        // The same session all the time.
        #expect(try task.slot("active_pid", on: cluster) == holder)
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `settings that are wrong are told whole and change nothing`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("r_wrong")
        let daemon = try await task.stream()
        task.lines = ["batch: { rows: none }", "snapshott: {}"]
        try await task.reload(daemon, expecting: "the former ones stay in force")
        let line = daemon.stderr.split(separator: "\n").last { $0.contains("stay in force") } ?? ""
        #expect(line.contains("batch.rows") && line.contains("snapshott"), "\(line)")
        #expect(line.contains("code=settings.invalid"))
        #expect(!daemon.stderr.contains("settings reloaded"))
        try FileManager.default.removeItem(atPath: task.files.file("task.yaml"))
        daemon.kill(SIGHUP)
        try await daemon.waitForLog("code=settings.unreadable")
        try cluster.psql("INSERT INTO orders VALUES (3)", database: task.database)
        try await daemon.until { try task.ids() == ["1", "2", "3"] }
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `what waits for the next start is named`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("r_waits")
        let daemon = try await task.stream()
        let directory = task.sinkDirectory
        task.sinkDirectory = task.files.file("elsewhere")
        task.user = "somebody"
        task.lines = ["format: { temporal: epoch }", "snapshot: { mode: never }"]
        try await task.reload(daemon, expecting: "settings reloaded applied=nothing")
        for name in ["source", "sink", "format", "snapshot.mode"] {
            #expect(
                daemon.stderr.contains("warn  \(name) changed: takes effect with the next start")
            )
        }
        #expect(!daemon.stderr.contains("other settings"))
        try cluster.psql("INSERT INTO orders VALUES (3)", database: task.database)
        task.sinkDirectory = directory
        try await daemon.until { try task.ids() == ["1", "2", "3"] }
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `http moves, asks for a token, and stays where the new place is taken`() async throws
    {
        var (task, _) = try await SharedCluster.trusting.task("r_http")
        let daemon = try await task.stream()
        task.httpPort = try FreePort.find()
        try await task.reload(daemon, expecting: "applied=http.listen")
        #expect(try task.code("/healthz") == 200)
        let first = task.httpPort
        task.httpPort = try FreePort.find()
        task.httpMore = ", token: abcdefghijklmnop0123456789"
        try await task.reload(daemon, expecting: "applied=\"http.listen, http.token\"")
        #expect(try task.code("/status") == 401)
        let second = task.httpPort
        task.httpPort = first
        try await eventually { (try? task.code("/healthz")) == nil }

        let occupant = try ListeningPort()
        task.httpPort = occupant.port
        task.httpMore = ""
        try await task.reload(daemon, expecting: "http stays as it was")
        #expect(daemon.stderr.contains("code=http.address_in_use"))
        task.httpPort = second
        #expect(try task.code("/status") == 401)
        #expect(try task.code("/healthz") == 200)
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `http takes another address of its own port, or keeps the former`() async throws {
        var (task, _) = try await SharedCluster.trusting.task("r_address")
        let port = try FreePort.find()
        task.httpPort = port
        let daemon = try await task.stream()
        task.httpHost = "0.0.0.0"
        try await task.reload(daemon, expecting: "address=0.0.0.0:\(port)")
        try await eventually { try task.code("/healthz") == 200 }
        // Of a network that nobody has.
        task.httpHost = "203.0.113.1"
        try await task.reload(daemon, expecting: "http stays as it was")
        #expect(daemon.stderr.contains("code=http.address_unavailable"))
        #expect(try task.code("/healthz") == 200)
        task.httpHost = "127.0.0.1"
        task.lines = ["batch: { rows: 7 }"]
        try await task.reload(daemon, expecting: "batch.rows")
        try await eventually { try task.code("/healthz") == 200 }
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `a reload that is refused leaves http where it is, too`() async throws {
        var (task, _) = try await SharedCluster.trusting.task("r_half")
        task.httpPort = try FreePort.find()
        let daemon = try await task.stream()
        let former = task.httpPort
        task.httpPort = try FreePort.find()
        task.sourceLines = ["passwordFile: /nonexistent/password"]
        try await task.reload(daemon, expecting: "the former ones stay in force")
        let next = task.httpPort
        task.httpPort = former
        #expect(try task.code("/healthz") == 200)
        task.httpPort = next
        task.sourceLines = []
        try await task.reload(daemon, expecting: "applied=http.listen")
        try await eventually { try task.code("/healthz") == 200 }
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `passwords of the settings are taken by the next connection`() async throws {
        let cluster = try await SharedCluster.asking.cluster
        var task = try OddTask("r_password", on: cluster)
        try cluster.psql("CREATE ROLE r_password LOGIN REPLICATION SUPERUSER PASSWORD 'first-0'")
        task.database = try cluster.createDatabase(task.name)
        try cluster.psql(SharedCluster.orders, database: task.database)
        task.user = "r_password"
        task.sourceLines = ["password: first-0"]
        let daemon = try await task.stream()
        try cluster.psql("ALTER ROLE r_password PASSWORD 'second-1'")
        try await daemon.until { try task.slot("active", on: cluster) == "t" }
        try cluster.psql(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                + "WHERE slot_name = '\(task.slot)'"
        )
        try await daemon.waitForLog("source.login_refused")
        task.sourceLines = ["password: second-1"]
        // While it reconnects.
        try await task.reload(daemon, expecting: "applied=source.password")
        try cluster.psql("INSERT INTO orders VALUES (3)", database: task.database)
        try await daemon.until { try task.ids() == ["1", "2", "3"] }
        #expect(!daemon.stderr.contains("second-1"))
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `retry for less ends a task that is trying`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(SharedCluster.orders)
        var task = try OddTask("r_retry", on: cluster)
        task.retry = "forever"
        let daemon = try await task.stream()
        try cluster.stop(mode: .immediate)
        try await daemon.waitForLog("trying again")
        task.retry = "1s"
        try await task.reload(daemon, expecting: "applied=retry.for")
        #expect(try await daemon.wait(.seconds(60)) == .code(75))
    }

    @Test func `what is decided about changes counts from the next transaction on`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("r_policy")
        let daemon = try await task.stream()
        task.lines = ["stream: { onTruncate: apply }"]
        try await task.reload(daemon, expecting: "applied=stream.onTruncate")
        try cluster.psql(
            "TRUNCATE orders; INSERT INTO orders VALUES (9)",
            database: task.database
        )
        try await daemon.until { try task.ids().last == "9" }
        #expect(try task.events.events().map(\.op).suffix(2) == ["t", "c"])
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `systemd is told when a reload begins and ends`() async throws {
        var (task, _) = try await SharedCluster.trusting.task("r_notify")
        let systemd = try NotifySocket()
        let daemon = try task.start(environment: systemd.environment(watchdog: .seconds(1)))
        try await daemon.until { systemd.lines.contains("READY=1") }
        task.lines = ["batch: { rows: 5 }"]
        try await task.reload(daemon, expecting: "applied=batch.rows")
        try await eventually { systemd.count("READY=1") == 2 }
        let lines = systemd.lines
        let begin = try #require(lines.firstIndex(of: "RELOADING=1"))
        #expect(lines[begin + 1].hasPrefix("MONOTONIC_USEC="))
        #expect(try #require(lines.lastIndex(of: "READY=1")) > begin)
        #expect(try await daemon.stop() == .code(0))
    }

    @Test func `a terminal that is gone stops the task`() async throws {
        let (task, _) = try await SharedCluster.trusting.task("r_terminal")
        let path = try task.files.write(task.yaml, to: "task.yaml")
        let (main, side) = try Terminal.open()
        let process = Process()
        process.executableURL = URL(filePath: DaemonProcess.executable)
        process.arguments = ["run", "--config", path]
        process.standardError = side
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        try side.close()
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        try await eventually { try task.ids() == ["1", "2"] }
        try main.close()
        kill(process.processIdentifier, SIGHUP)
        try await eventually("its end", timeout: .seconds(20)) { !process.isRunning }
        #expect(process.terminationStatus == 0)
    }
}

extension OddTask {
    /// The status code of a page.
    fileprivate func code(_ path: String) throws -> Int? {
        try HTTPWire(port: httpPort ?? 0).get(path).code
    }

    /// Writes the settings as they are now, sends SIGHUP and waits for what the log says of it.
    func reload(_ daemon: DaemonProcess, expecting text: String) async throws {
        try files.write(yaml, to: "task.yaml")
        daemon.kill(SIGHUP)
        try await daemon.waitForLog(text)
    }
}

/// A port that is listened on.
private final class ListeningPort: Sendable {
    let port: Int
    private let descriptor: Int32

    init() throws {
        port = try FreePort.find()
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard bound == 0, listen(descriptor, 1) == 0 else { throw SupportError("bind \(port)") }
    }

    deinit { close(descriptor) }
}

/// A pseudo-terminal: what the test holds, and what the daemon writes to.
private enum Terminal {
    static func open() throws -> (main: FileHandle, side: FileHandle) {
        let main = Glibc.open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var (unlocked, number) = (Int32(0), UInt32(0))
        // TIOCSPTLCK and TIOCGPTN, which are macros.
        guard main >= 0, ioctl(main, 0x4004_5431, &unlocked) == 0,
            ioctl(main, 0x8004_5430, &number) == 0
        else { throw SupportError("no pseudo-terminal") }
        let side = Glibc.open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard side >= 0 else { throw SupportError("no terminal") }
        return (
            FileHandle(fileDescriptor: main, closeOnDealloc: true),
            FileHandle(fileDescriptor: side, closeOnDealloc: true)
        )
    }
}
