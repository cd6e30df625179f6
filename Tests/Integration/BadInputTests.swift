// SPDX-License-Identifier: Apache-2.0
//
// What an operator gets wrong before a server is reached: the command line, the settings file, the
// sink's directory, the port of the status. Each is one message that says what, where and what to
// do next, the exit code of the contract, and nothing touched.
import Foundation
import Glibc
import Support
import Testing

struct BadInputTests {
    // MARK: The command line

    @Test(arguments: [
        ([], "USAGE: walrelay"),
        (["rum"], "\"rum\" is no command (did you mean \"run\"?)"),
        (["rum", "--config", "x"], "\"rum\" is no command (did you mean \"run\"?)"),
        (["--nope"], "Unknown option '--nope'"),
        (["run"], "Missing expected argument '--config"),
        (["run", "--config", "/nonexistent", "--until", "nonsense"], "an LSN like 16/B374D848"),
        (["run", "--config", "/nonexistent", "--until", "1/2/3"], "'1/2/3' is invalid"),
        (["run", "--config", "/nonexistent", "--until", "G/0"], "'G/0' is invalid"),
        (["run", "--config", "/nonexistent", "--until", "1/123456789"], "is invalid"),
        (["check", "--config"], "Missing value for '--config"),
        (["check", "--config", "/nonexistent", "more"], "Unexpected argument 'more'"),
    ])
    func `a wrong command line is told with exit 64`(
        arguments: [String],
        text: String
    ) async throws {
        let daemon = try DaemonProcess(arguments)
        #expect(try await daemon.wait() == .code(64))
        #expect(daemon.stderr.contains(text), "\(daemon.stderr)")
        #expect(daemon.stdout.isEmpty)
    }

    // MARK: The settings

    /// What is spoilt, what the spoilt text reads, and what is said of it.
    struct Spoilt: Sendable, CustomTestStringConvertible {
        let old: String
        let new: String
        let fault: String
        var testDescription: String { fault }
    }

    @Test(arguments: [
        Spoilt(
            old: "database:",
            new: "databse:",
            fault: #":5:3: unknown key "databse" in source (did you mean "database"?)"#
        ),
        Spoilt(
            old: "retry: { for: 10m }",
            new: "snapshots: { workers: 2 }",
            fault: #":11:1: unknown key "snapshots" (did you mean "snapshot"?)"#
        ),
        Spoilt(old: "10m", new: "soon", fault: #":11:15: retry.for: "soon" is not a time such as"#),
        Spoilt(old: "10m", new: "[1]", fault: ":11:15: retry.for must be a time"),
        Spoilt(
            old: "kind: ndjson,",
            new: "kind: ndjsn,",
            fault: #":9:15: sink.kind: "ndjsn" is not one of ndjson, stream, postgresql, kafka"#
                + #" (did you mean "ndjson"?)"#
        ),
        Spoilt(old: "task: odd", new: "task: O-d", fault: ":1:7: task: "),
        Spoilt(old: "user: postgres", new: "user: ${ODD_USER}", fault: "ODD_USER"),
        Spoilt(old: "source:", new: "source: {", fault: "task.yaml:"),
    ])
    func `a fault of the settings is told with its line`(_ spoilt: Spoilt) async throws {
        var task = try OddTask("odd", port: 1)
        task.spoil = { $0.replacingOccurrences(of: spoilt.old, with: spoilt.new) }
        let outcome = try await task.run("check")
        outcome.expectRefusal(78, "settings.invalid", "task.yaml:", spoilt.fault)
        #expect(outcome.stdout.isEmpty)
    }

    @Test
    func `files that cannot be read are named`() async throws {
        var task = try OddTask("odd", port: 1)
        let missing = try DaemonProcess(["run", "--config", task.files.file("none.yaml")])
        try await task.outcome(of: missing).expectRefusal(
            78,
            "settings.unreadable",
            "\(task.files.file("none.yaml")) cannot be read: No such file"
        )
        task.sourceLines = ["passwordFile: no.password"]
        try await task.run().expectRefusal(
            78,
            "settings.secret_file",
            "\(task.files.file("no.password")) cannot be read: No such file"
        )
    }

    // MARK: The sink's directory

    @Test
    func `a directory that is a file is told before the source is touched`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("dir_file")
        task.sinkDirectory = try task.files.write("x", to: "plain")
        try await task.run().expectRefusal(78, "sink.directory_unwritable", task.sinkDirectory)
        try await task.expectNothingLeft(on: cluster)
    }

    /// Root writes everywhere, but not into a file system without room.
    @Test(.enabled(if: TemporaryFileSystem.isPossible))
    func `a full disk at the start is told, and waited for`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("dir_full")
        let disk = try TemporaryFileSystem(options: "size=64k")
        try disk.fill()
        task.sinkDirectory = disk.path
        task.retry = "1s"
        try await task.run().expectRefusal(75, "sink.disk_full", disk.path, "df -h")
        try await task.expectNothingLeft(on: cluster)
        task.retry = "1m"
        let daemon = try task.start()
        try await daemon.waitForLog("No room for")
        try disk.clear()
        try await daemon.waitForLog("streaming")
        #expect(try await daemon.stop() == .code(0))
        #expect(try task.ids() == ["1", "2"])
    }

    @Test(.enabled(if: TemporaryFileSystem.isPossible))
    func `a directory that cannot be written is told`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("dir_read_only")
        let disk = try TemporaryFileSystem(options: "ro")
        task.sinkDirectory = disk.path
        try await task.run().expectRefusal(78, "sink.directory_unwritable", disk.path, "Read-only")
        try await task.expectNothingLeft(on: cluster)
    }

    @Test
    func `a directory takes one daemon`() async throws {
        let (task, cluster) = try await SharedCluster.trusting.task("dir_shared")
        let first = try await task.stream()
        var other = try OddTask("dir_other", on: cluster)
        other.database = task.database
        other.sinkDirectory = task.sinkDirectory
        try await other.run().expectRefusal(
            77,
            "sink.directory_in_use",
            task.sinkDirectory,
            "process \(first.pid)"
        )
        try await other.expectNothingLeft(on: cluster)
        #expect(try await first.stop() == .code(0))
    }

    // MARK: The port

    @Test
    func `a port that is taken is told before the source is touched`() async throws {
        var (task, cluster) = try await SharedCluster.trusting.task("port_taken")
        let server = try FakeServer(.silent)
        task.httpPort = server.port
        try await task.run().expectRefusal(
            78,
            "http.address_in_use",
            "127.0.0.1:\(server.port)",
            "http.listen"
        )
        try await task.expectNothingLeft(on: cluster)
        #expect(!FileManager.default.fileExists(atPath: task.sinkDirectory))
    }
}
