// SPDX-License-Identifier: Apache-2.0
//
// The built `walrelay` as its operator runs it: a process with arguments, an environment, two
// output streams and an exit code. Output is kept to the last MiB a stream, so a test of hours
// stays small; the resident set's high-water mark is sampled while it runs, because it goes
// with the process.
public import Foundation
import Glibc
import Synchronization

/// A running daemon; it is killed when the last reference goes or the test process ends.
public final class DaemonProcess: Sendable {
    private let child: ChildProcess
    private let out: OutputTail
    private let err: OutputTail
    private let highWater: HighWater
    private let line: String

    /// The executable: `WALRELAY_BINARY`, else the one that was built with the tests.
    public static let executable: String = {
        if let path = ProcessInfo.processInfo.environment["WALRELAY_BINARY"], !path.isEmpty {
            return path
        }
        // The test runner is its neighbour in the products directory.
        let runner = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        var directory = URL(filePath: runner ?? "/").deletingLastPathComponent()
        for _ in 0..<4 {
            let candidate = directory.appending(path: "walrelay").path
            if access(candidate, X_OK) == 0 { return candidate }
            directory.deleteLastPathComponent()
        }
        return "walrelay"
    }()

    /// Starts `walrelay` with these arguments.
    ///
    /// `environment` is added to the test's own, from which PG* variables are taken out.
    public init(
        _ arguments: [String],
        environment: [String: String] = [:],
        executable: String = DaemonProcess.executable,
        workingDirectory: String? = nil
    ) throws {
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("PG") }
        variables.merge(environment) { $1 }
        let (outRead, outWrite) = try pipePair()
        let (errRead, errWrite) = try pipePair()
        defer { for descriptor in [outWrite, errWrite] { close(descriptor) } }
        out = OutputTail(outRead)
        err = OutputTail(errRead)
        line = ([executable] + arguments).joined(separator: " ")
        child = try ChildProcess(
            executable,
            arguments,
            environment: variables,
            workingDirectory: workingDirectory,
            stdout: outWrite,
            stderr: errWrite
        )
        highWater = HighWater(child)
    }

    /// Its process id.
    public var pid: pid_t { child.pid }

    /// The last MiB of standard output.
    public var stdout: String { out.text }

    /// The last MiB of standard error, where the log goes.
    public var stderr: String { err.text }

    /// How it ended, or nil while it runs.
    public var status: ExitStatus? { child.status() }

    /// The most memory that was resident at once, in bytes (VmHWM), up to now or its end.
    public var peakResidentBytes: Int { highWater.bytes }

    /// Sends a signal such as `SIGTERM`; returns at once.
    public func kill(_ signal: Int32) { child.signal(signal) }

    /// Has it stand still, and returns when it does; `kill(SIGCONT)` has it go on.
    public func suspend() { child.suspend() }

    /// Waits for its end and gives the status; throws with its last output when time is up.
    @discardableResult
    public func wait(_ timeout: Duration = .seconds(60)) async throws -> ExitStatus {
        let ended = try await onThread { self.child.waitBlocking(timeout) }
        guard let status = ended else { throw failure("did not end within \(timeout)") }
        try await eventually("the end of its output") { self.out.isClosed && self.err.isClosed }
        return status
    }

    /// SIGTERM, then `wait`.
    @discardableResult
    public func stop(_ timeout: Duration = .seconds(60)) async throws -> ExitStatus {
        kill(SIGTERM)
        return try await wait(timeout)
    }

    /// Waits until a line of either stream contains `text`.
    public func waitForLog(_ text: String, timeout: Duration = .seconds(30)) async throws {
        try await until(timeout, "\"\(text)\" in its output") {
            self.stderr.contains(text) || self.stdout.contains(text)
        }
    }

    /// Polls until `condition` holds; fails at once when the daemon ends before that.
    public func until(
        _ timeout: Duration = .seconds(30),
        _ what: String = "the condition",
        _ condition: () async throws -> Bool
    ) async throws {
        do {
            try await eventually(what, timeout: timeout) {
                let result: Result<Bool, any Error>
                do {
                    result = .success(try await condition())
                } catch {
                    result = .failure(error)
                }
                if case .success(true) = result { return true }
                if let status = self.status { throw Ended(status: status) }
                return try result.get()
            } giveUp: {
                $0 is Ended
            }
        } catch let ended as Ended {
            // What it did last may be just what was waited for.
            if (try? await condition()) == true { return }
            throw failure("ended with \(ended.status) before \(what)")
        } catch let error as SupportError {
            throw failure(error.description)
        }
    }

    private struct Ended: Error {
        let status: ExitStatus
    }

    private func failure(_ what: String) -> SupportError {
        SupportError(
            "\(line): \(what)\n--- stdout\n\(stdout.suffix(1_500))\n--- stderr\n"
                + "\(stderr.suffix(4_000))"
        )
    }
}

/// Reads a pipe to its end on a thread of its own and keeps the last MiB.
private final class OutputTail: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var isClosed = false
    }

    private let state = Mutex(State())

    init(_ descriptor: Int32) {
        Thread.detachNewThread { [self] in
            var chunk = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(descriptor, &chunk, chunk.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                state.withLock {
                    $0.bytes.append(contentsOf: chunk[..<count])
                    if $0.bytes.count > 2 << 20 { $0.bytes.removeFirst($0.bytes.count - (1 << 20)) }
                }
            }
            close(descriptor)
            state.withLock { $0.isClosed = true }
        }
    }

    var text: String { state.withLock { String(decoding: $0.bytes, as: UTF8.self) } }
    var isClosed: Bool { state.withLock(\.isClosed) }
}

/// Samples VmHWM every 10 ms until the process ends.
private final class HighWater: Sendable {
    private let sampled = Atomic<Int>(0)
    private let pid: pid_t

    init(_ child: ChildProcess) {
        pid = child.pid
        Thread.detachNewThread { [weak self, weak child] in
            while let child, child.status() == nil, let sampler = self {
                sampler.sample()
                usleep(10_000)
            }
        }
    }

    var bytes: Int {
        sample()
        return sampled.load(ordering: .relaxed)
    }

    private func sample() {
        // Until the exec into the program itself it is setpriv and the shell: small ones.
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
            let kibibytes = Int(line.dropFirst(6).filter(\.isNumber))
        else { return }
        sampled.max(kibibytes << 10, ordering: .relaxed)
    }
}
