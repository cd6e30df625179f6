// SPDX-License-Identifier: Apache-2.0
//
// A client that an application would be: one connection that is given one transaction after
// another as text, whatever becomes of the one before. psql is that client; what it was refused
// is kept as SQLSTATEs, since a load whose statements all fail tests nothing.
import Foundation
import Glibc
import Synchronization

/// Writes to a cluster on a thread of its own until its time is up or it is told to stop.
public final class WritingClient: Sendable {
    private let cluster: PostgresCluster
    private let database: String
    private let isStopped = Atomic(false)
    private let isRunning = Atomic(true)
    private let sent = Atomic<Int>(0)
    private let begun = Atomic<Int>(0)
    private let answers = Mutex(Answers())

    private struct Answers {
        var refusals: [String: Int] = [:]
        var partialLine = ""
    }

    /// Starts to send what `next` gives, so many texts a second at most, for so many seconds.
    ///
    /// `next` is called on the client's thread. A server that went away is waited for.
    public init(
        _ cluster: PostgresCluster,
        database: String = "postgres",
        seconds: Double,
        perSecond: Double,
        next: @escaping @Sendable (_ number: Int) -> String
    ) {
        self.cluster = cluster
        self.database = database
        let end = ContinuousClock.now + .seconds(seconds)
        Thread.detachNewThread { [self] in
            while !isStopped.load(ordering: .relaxed), ContinuousClock.now < end {
                try? connect(until: end, every: 1 / perSecond, next)
                usleep(50_000)
            }
            isRunning.store(false, ordering: .releasing)
        }
    }

    deinit { isStopped.store(true, ordering: .relaxed) }

    /// How many texts were given to the connection.
    public var count: Int { sent.load(ordering: .relaxed) }

    /// How many connections there were: one, unless the server or psql went away.
    public var connections: Int { begun.load(ordering: .relaxed) }

    /// How often each SQLSTATE was answered.
    public var errors: [String: Int] { answers.withLock(\.refusals) }

    /// Ends the load early; `wait` waits for it.
    public func stop() { isStopped.store(true, ordering: .relaxed) }

    /// Waits until the last transaction was answered.
    public func wait(_ limit: Duration) async throws {
        try await eventually("the end of a writing client", timeout: limit) {
            !isRunning.load(ordering: .acquiring)
        }
    }

    /// One connection, from its start to the end of the time or of the server.
    private func connect(
        until end: ContinuousClock.Instant,
        every pause: Double,
        _ next: (Int) -> String
    ) throws {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw SupportError(errnoText()) }
        let (output, outputEnd) = try pipePair()
        defer {
            close(ends[0])
            close(output)
        }
        _ = fcntl(output, F_SETFL, O_NONBLOCK)
        begun.add(1, ordering: .relaxed)
        // Older ones do not know how to print an SQLSTATE alone.
        let version = max(cluster.version, .v15)
        var environment = version.environment
        for name in ["PGHOST", "PGPORT", "PGUSER"] { environment[name] = cluster.environment[name] }
        let psql: ChildProcess
        do {
            defer {
                close(ends[1])
                close(outputEnd)
            }
            psql = try ChildProcess(
                version.program("psql"),
                ["-AtXq", "-v", "VERBOSITY=sqlstate", "-d", database, "-f", "-"],
                environment: environment,
                stdin: ends[1],
                stderr: outputEnd
            )
        }
        while !isStopped.load(ordering: .relaxed), ContinuousClock.now < end {
            let text = next(sent.load(ordering: .relaxed)) + "\n"
            guard send(text, to: ends[0], reading: output) else { break }
            sent.add(1, ordering: .relaxed)
            usleep(useconds_t(pause * 1_000_000))
        }
        shutdown(ends[0], Int32(SHUT_WR))
        let limit = ContinuousClock.now + .seconds(60)
        while psql.status() == nil, ContinuousClock.now < limit {
            note(output)
            usleep(5_000)
        }
        note(output)
    }

    /// Blocks while the connection is busy with earlier texts; false once it has ended.
    private func send(_ text: String, to descriptor: Int32, reading output: Int32) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            note(output)
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor,
                    $0.baseAddress,
                    min($0.count, 16_384),
                    Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
                )
            }
            if count > 0 {
                bytes = bytes.dropFirst(count)
            } else if errno == EAGAIN {
                usleep(2_000)
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    /// Takes what psql has said so far; a line is `psql:…: ERROR:  23505`.
    private func note(_ descriptor: Int32) {
        var chunk = [UInt8](repeating: 0, count: 16_384)
        let count = read(descriptor, &chunk, chunk.count)
        guard count > 0 else { return }
        answers.withLock { answers in
            let text = answers.partialLine + String(decoding: chunk[..<count], as: UTF8.self)
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            for line in lines.dropLast() where line.contains("ERROR:") {
                answers.refusals[String(line.suffix(5)), default: 0] += 1
            }
            answers.partialLine = String(lines.last ?? "")
        }
    }
}
