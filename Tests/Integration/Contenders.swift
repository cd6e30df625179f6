// SPDX-License-Identifier: Apache-2.0
//
// Several daemons of one task at once, each with settings of its own that differ in the port of its
// status alone: one runs the task, the others wait for its end.
import Foundation
import FoundationNetworking
import Glibc
import Support

/// A task that several daemons contend for.
protocol ContendedTask: KillableTask {
    /// Settings, status and source.
    var relay: RelayTask { get }
    /// The same task under another port.
    func another() throws -> Self
}

extension RelayTask: ContendedTask {
    var relay: RelayTask { self }

    func another() throws -> RelayTask {
        try RelayTask(
            cluster,
            name: name,
            sinkDirectory: sinkDirectory,
            more: "retry: { for: 60s }"
        )
    }
}

extension CopyTask: ContendedTask {
    func another() throws -> CopyTask { try CopyTask(servers, name: relay.name) }
}

extension KafkaTask: ContendedTask {
    func another() throws -> KafkaTask { try with() }
}

/// One of them.
struct Contender<Task: ContendedTask>: Sendable {
    let task: Task
    let daemon: DaemonProcess

    init(_ task: Task, pause: String? = nil) throws {
        self.task = task
        daemon = try task.start(pause: pause)
    }

    func wait(for phase: String, timeout: Duration = .seconds(60)) async throws {
        try await task.waitForPhase(phase, of: daemon, timeout: timeout)
    }

    var phase: String? {
        get async throws { try await task.relay.status()["phase"] as? String }
    }

    /// The code and the text that a path of its status is answered with.
    func answer(_ path: String) async throws -> (code: Int, text: String) {
        guard let url = URL(string: "http://127.0.0.1:\(task.relay.port)\(path)") else {
            return (0, "")
        }
        let (data, response) = try await URLSession.shared.data(for: URLRequest(url: url))
        let code = (response as? HTTPURLResponse)?.statusCode ?? 0
        return (code, String(decoding: data, as: UTF8.self))
    }

    func kill() async throws {
        daemon.kill(SIGKILL)
        let status = try await daemon.wait()
        guard status == .signal(SIGKILL) else {
            throw SupportError("it ended by itself with \(status)\n\(daemon.stderr.suffix(4_000))")
        }
    }
}

extension Contender {
    /// Kills the running one of two daemons again and again; a fresh standby takes its place.
    ///
    /// Gives how long each takeover took, from the kill to the phase streaming, and who is left.
    static func campaign(
        _ task: Task,
        kills: Int,
        pause: ClosedRange<Double> = 0.1...0.8
    ) async throws -> (times: [Duration], last: Contender, standby: Contender) {
        var first = try Contender(task)
        try await first.wait(for: "streaming")
        var second = try Contender(task.another())
        var times: [Duration] = []
        var random = SeededGenerator()
        print("WALRELAY_TEST_SEED=\(random.seed)")
        for _ in 0..<kills {
            try await second.wait(for: "standby")
            try await _Concurrency.Task.sleep(
                for: .seconds(Double.random(in: pause, using: &random))
            )
            let begin = ContinuousClock.now
            try await first.kill()
            try await second.wait(for: "streaming")
            times.append(ContinuousClock.now - begin)
            (first, second) = (second, try Contender(first.task))
        }
        let sorted = times.sorted()
        print(
            "takeover of \(Task.self): \(kills) kills, median \(sorted[kills / 2]), "
                + "at most \(sorted[kills - 1])"
        )
        return (times, first, second)
    }
}
