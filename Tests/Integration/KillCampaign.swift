// SPDX-License-Identifier: Apache-2.0
//
// Kills a task's daemon at random moments, in its snapshot and in its stream, and takes the
// server away in between. Every daemon has to be alive when its moment comes: one that ended by
// itself is a finding.
import Glibc
import Support

/// A task as a campaign sees it.
protocol KillableTask: Sendable {
    /// Starts a daemon, which waits before each of its writes as the failpoint `pause` says.
    func start(pause: String?) throws -> DaemonProcess
    /// Waits until the daemon serves this phase on /status.
    func waitForPhase(_ phase: String, of daemon: DaemonProcess, timeout: Duration) async throws
    /// The snapshot's state in the checkpoint, such as `running`; nil where there is none.
    func snapshotState() async throws -> String?
    /// Takes a server away from the daemon as a crash would, and brings it back.
    func crashServer() async throws
}

extension RelayTask: KillableTask {
    func start(pause: String?) throws -> DaemonProcess { try start([], pause: pause) }

    func snapshotState() throws -> String? { try checkpoint("snapshot") }

    func crashServer() async throws { try await cluster.restart(.immediate) }
}

struct KillCampaign<Task: KillableTask> {
    let task: Task
    /// kill -9 of the daemon, the first quarter of them within the snapshot.
    var kills = 20
    /// Immediate shutdowns of a server, each while a daemon is at work.
    var restarts = 2
    /// Between two kills, on average.
    var interval: Duration
    /// How much longer each write takes while a snapshot is to be killed; debug builds only.
    var writePause = "60ms"
    /// Kills that met an unfinished snapshot.
    private(set) var killsInSnapshot = 0
    /// The most memory that any of the daemons had.
    private(set) var peakResidentBytes = 0

    init(_ task: Task, kills: Int, restarts: Int, interval: Duration) {
        self.task = task
        self.kills = kills
        self.restarts = restarts
        self.interval = interval
    }

    mutating func run(using random: inout SeededGenerator) async throws {
        let early = max(2, kills / 4)
        for _ in 0..<early { try await killInSnapshot(using: &random) }
        let first = try task.start(pause: nil)
        try await task.waitForPhase("streaming", of: first, timeout: .seconds(60))
        try await kill(first)
        var moments = Array(0..<kills - early - 1).shuffled(using: &random)
        let restartAt = Set(moments.prefix(restarts))
        moments.sort()
        for moment in moments {
            let daemon = try task.start(pause: nil)
            try await pause(upTo: interval * 2, using: &random)
            if restartAt.contains(moment) {
                try await task.crashServer()
                try await pause(upTo: interval, using: &random)
            }
            try await kill(daemon)
        }
    }

    private mutating func killInSnapshot(using random: inout SeededGenerator) async throws {
        // On a machine that stood still the kill before may have come too late.
        if try await task.snapshotState() == "complete" { return }
        let isSlow = TestKnob.hasFailpoints
        let daemon = try task.start(pause: isSlow ? "sink.before_write=\(writePause)" : nil)
        try await daemon.until(.seconds(60), "a snapshot that has begun in the sink") {
            let state = try await task.snapshotState()
            return state == "complete"
                || state == "running" && daemon.stderr.contains(" snapshotting")
        }
        try await pause(upTo: .milliseconds(isSlow ? 1_000 : 200), using: &random)
        try await kill(daemon)
        if try await task.snapshotState() == "running" { killsInSnapshot += 1 }
    }

    private func pause(upTo limit: Duration, using random: inout SeededGenerator) async throws {
        try await _Concurrency.Task.sleep(for: limit * Double.random(in: 0..<1, using: &random))
    }

    private mutating func kill(_ daemon: DaemonProcess) async throws {
        peakResidentBytes = max(peakResidentBytes, daemon.peakResidentBytes)
        daemon.kill(SIGKILL)
        let status = try await daemon.wait()
        guard status == .signal(SIGKILL) else {
            throw SupportError("it ended by itself with \(status)\n\(daemon.stderr.suffix(4_000))")
        }
    }
}
