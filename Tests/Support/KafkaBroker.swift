// SPDX-License-Identifier: Apache-2.0
//
// A private broker of Kafka's protocol that a test starts and stops itself: noida-db, on a port
// and in a directory of its own, as a non-root user. It is a direct child, so it dies with the
// test process however that ends.
// It saves its topics when it is stopped, not when they are written: a broker that was killed has
// lost what it acknowledged, so `kill` is for what comes of a broker that lies.
import Foundation
public import Glibc
import Synchronization

/// A running or stopped broker; it is killed and its data deleted when the last reference goes.
public final class KafkaBroker: Sendable {
    /// Listens there only.
    public let host = "127.0.0.1"
    /// The TCP port; the same after a restart.
    public let port: Int
    private let directory: String
    private let running = Mutex<ChildProcess?>(nil)

    /// Whether there is one on this machine, with the programs that read from it.
    public static let isAvailable = [brokerPath, kcatPath, pythonPath].allSatisfy {
        (path: String) in
        access(path, X_OK) == 0
    }

    /// Why a test is left out where there is none.
    public static let absence = "no broker here: scripts/setup test, scripts/fetch-kafka"

    /// What `bootstrapServers` and `bootstrap.servers` take.
    public var address: String { "\(host):\(port)" }

    /// Starts a new broker without topics; returns when it answers.
    public static func start() async throws -> KafkaBroker {
        try await onThread {
            var failure: any Error = SupportError("not tried")
            // Somebody may take the port between the look and the bind: then another one.
            for _ in 0..<3 {
                do {
                    let broker = try KafkaBroker()
                    try broker.launch()
                    return broker
                } catch {
                    failure = error
                }
            }
            throw failure
        }
    }

    private init() throws {
        port = try FreePort.find()
        directory = try Scratch.directory("k")
        try ServerOwner.give(directory)
    }

    deinit {
        running.withLock { $0 = nil }
        try? FileManager.default.removeItem(atPath: directory)
    }

    // MARK: Life

    /// The broker's process id, or nil while it is stopped.
    public var pid: pid_t? { child?.pid }

    private var child: ChildProcess? {
        running.withLock { child in
            if child?.status() != nil { child = nil }
            return child
        }
    }

    /// Starts it again with the topics that `stop` saved; returns when it answers.
    public func start() async throws {
        try await onThread { try self.launch() }
    }

    /// Stops the broker and waits for its end; without effect when it is stopped.
    ///
    /// What it acknowledges while it saves its topics is lost (seen with other clients, with and
    /// without transactions): nothing is to be written meanwhile.
    public func stop() async throws {
        try await end(with: SIGTERM)
    }

    /// Ends it at once; all since its last start is lost.
    public func kill() async throws {
        try await end(with: SIGKILL)
    }

    /// Stops and starts, as `stop` and `start` do.
    public func restart() async throws {
        try await stop()
        try await start()
    }

    /// Has it stand still with its connections open.
    public func suspend() { child?.suspend() }

    /// Goes on after `suspend`.
    public func resume() { child?.signal(SIGCONT) }

    private func end(with signal: Int32) async throws {
        guard let child else { return }
        child.signal(signal)
        guard try await onThread({ child.waitBlocking(.seconds(30)) }) != nil else {
            throw SupportError("the broker did not stop within 30 s\n\(log())")
        }
        running.withLock { $0 = nil }
    }

    private func launch() throws {
        guard child == nil else { return }
        let log = open("\(directory)/log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        defer { close(log) }
        let child = try ChildProcess(
            Self.brokerPath,
            [
                "start", "--data-dir", "\(directory)/data", "--host", host, "--only", "kafka",
                "--kafka-port", "\(port)",
            ],
            workingDirectory: directory,
            owner: .current,
            stdout: log,
            stderr: log
        )
        running.withLock { $0 = child }
        let deadline = ContinuousClock.now + .seconds(30)
        while try kcat(["-L", "-m", "1"]).status != .code(0) {
            if let status = child.status() {
                running.withLock { $0 = nil }
                throw SupportError("the broker ended with \(status)\n\(self.log())")
            }
            guard ContinuousClock.now < deadline else {
                throw SupportError("the broker does not answer after 30 s\n\(self.log())")
            }
            usleep(20_000)
        }
    }

    /// What the broker printed.
    public func log() -> String {
        (try? String(contentsOfFile: "\(directory)/log", encoding: .utf8)) ?? ""
    }

    // MARK: Programs that are not ours

    /// Runs kcat against this broker to its end; the status is the caller's to judge.
    ///
    /// Blocks its thread, as `runProcess` does.
    @discardableResult
    public func kcat(
        _ arguments: [String],
        input: String = "",
        limit: Duration = .seconds(60)
    ) throws -> ProcessOutput {
        try runProcess(Self.kcatPath, ["-b", address] + arguments, input: input, limit: limit)
    }

    /// Runs a program in Python that finds `confluent_kafka` imported and this broker's address in
    /// `broker`; gives what it printed, and throws what it said when it failed.
    ///
    /// Blocks its thread, as `runProcess` does.
    @discardableResult
    public func python(
        _ program: String,
        _ arguments: [String] = [],
        limit: Duration = .seconds(60)
    ) throws -> String {
        let start = "import json, sys, confluent_kafka\nbroker = '\(address)'\n"
        let output = try runProcess(
            Self.pythonPath,
            ["-c", start + program] + arguments,
            limit: limit
        )
        guard output.status == .code(0) else {
            throw SupportError("python: \(output.status)\n\(output.stderr.suffix(2_000))")
        }
        return output.stdout
    }

    static let kcatPath = "/usr/bin/kcat"
    /// Debian's, whose packages have confluent_kafka.
    private static let pythonPath = "/usr/bin/python3"

    /// Where scripts/fetch-kafka puts it: it decides by the same rule.
    private static let brokerPath: String = {
        let version = "0.2.3"
        let variables = ProcessInfo.processInfo.environment
        let home = variables["HOME"] ?? "/nonexistent"
        let own = variables["WALRELAY_KAFKA_DIR"] ?? ""
        let cache =
            if !own.isEmpty {
                own
            } else if geteuid() == 0 {
                "/var/cache/walrelay/kafka"
            } else {
                "\(variables["XDG_CACHE_HOME"] ?? "\(home)/.cache")/walrelay/kafka"
            }
        return "\(cache)/\(version)/noida-db"
    }()
}
