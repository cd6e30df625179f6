// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Glibc
import LibPQ
import Settings
import Synchronization
import Testing

@testable import BatchJobs

@Suite struct RunningTests {
    private static func rows(_ count: Int, of slice: Int = 0) -> [String] {
        (0..<count).map { "\(slice)-\($0)" }
    }

    @Test(arguments: [1, 3, 8])
    func `every record of every slice is written once, then comes the end`(
        channels: Int
    ) throws {
        let slices = (0..<20).map { Self.rows(57, of: $0) }
        let job = MemoryJob(slices, channels: channels)
        try job.runner.run()
        #expect(job.written.sorted() == slices.flatMap { $0 }.sorted())
        #expect(job.events == ["begin", "finish"])
        #expect(job.source.closed.load(ordering: .relaxed) == 1)
        let progress = job.runner.progress
        #expect(progress.phase == .ended && progress.share == 1)
        #expect(progress.recordsRead == 1_140 && progress.recordsWritten == 1_140)
        #expect(progress.bytesRead == slices.flatMap { $0 }.map { $0.utf8.count + 1 }.reduce(0, +))
        #expect(progress.channels == channels && progress.slicesRead == 20)
        let ended = try #require(progress.endedAt)
        #expect(ended >= progress.startedAt && progress.startedAt > 1_600_000_000_000)
    }

    @Test func `a channel without a slice is not opened`() throws {
        let job = MemoryJob([["a"], ["b"]], channels: 8)
        try job.runner.run()
        #expect(job.source.opened.load(ordering: .relaxed) == 2)
        #expect(job.runner.progress.channels == 2)
    }

    @Test func `a plan opens both ends and writes nothing`() throws {
        let path = "/nonexistent/dirty.jsonl"
        let job = MemoryJob([["a"], ["b"]], channels: 4) { $0.dirtyRecordsFile = path }
        let plan = try job.runner.plan()
        #expect(plan.source == ["slice 0", "slice 1"] && plan.target == ["keep them"])
        #expect(plan.channels == 2 && plan.slices == 2 && plan.estimatedRecords == 2)
        #expect(job.events == [] && job.written == [])
        #expect(job.source.closed.load(ordering: .relaxed) == 1)
    }

    @Test func `an error of one channel ends them all, and what was open is abandoned`() throws {
        let slices = (0..<4).map { Self.rows(1_000_000, of: $0) }
        let job = MemoryJob(
            slices,
            channels: 4,
            onRead: { text in
                guard text != "2-500" else {
                    throw WalrelayError("job.test", exit: .unreachable, "lost")
                }
            }
        )
        let error = #expect(throws: WalrelayError.self) { try job.runner.run() }
        #expect(error?.code == "job.test")
        #expect(job.events.filter { $0 == "abandon" }.count == 4)
        #expect(!job.events.contains("finish"))
        #expect(job.source.closed.load(ordering: .relaxed) == 1)
        #expect(job.runner.progress.phase == .ended)
    }

    @Test func `a failing beginning closes the source and reads nothing`() throws {
        let job = MemoryJob(
            [["a"]],
            onBegin: { throw WalrelayError("job.sql", exit: .settings, "preSql") }
        )
        let error = #expect(throws: WalrelayError.self) { try job.runner.run() }
        #expect(error?.code == "job.sql")
        #expect(job.source.opened.load(ordering: .relaxed) == 0)
        #expect(job.source.closed.load(ordering: .relaxed) == 1)
        #expect(job.runner.progress.copying == .zero)
    }

    @Test func `a killed job says so, whatever was thrown because of it`() async throws {
        let reached = StopSignal()
        let job = MemoryJob(
            [Self.rows(1_000_000)],
            onRead: { text in
                if text == "0-5000" { reached.request() }
                // As slow as a server, so that the job does not end first.
                if reached.isRequested { usleep(200) }
            }
        )
        async let error = await #expect(throws: WalrelayError.self) {
            try await onOwnThread(named: "job") { try job.runner.run() }
        }
        #expect(await onOwnThreadSleep(until: reached))
        job.runner.kill()
        let thrown = await error
        #expect(thrown?.code == "job.killed" && thrown?.exit == .killed)
        #expect(job.events == ["begin", "abandon"])
    }

    @Test func `a job that is killed before it begins touches nothing`() throws {
        let job = MemoryJob([["a"]])
        job.runner.kill()
        let error = #expect(throws: WalrelayError.self) { try job.runner.run() }
        #expect(error?.exit == .killed)
        #expect(job.events == [])
    }

    private func onOwnThreadSleep(until signal: StopSignal) async -> Bool {
        (try? await onOwnThread(named: "wait") { signal.sleep(for: .seconds(60)) }) ?? false
    }

    // MARK: Speed

    @Test(arguments: [1, 3])
    func `records pass no faster than the speed allows`(channels: Int) throws {
        let slices = (0..<3).map { Self.rows(400, of: $0) }
        let job = MemoryJob(slices, channels: channels) { $0.speed.recordsPerSecond = 2_000 }
        try job.runner.run()
        #expect(job.runner.progress.copying >= .milliseconds(599))
        #expect(job.written.count == 1_200)
        #expect(job.runner.progress.throttled > .zero)
    }

    @Test func `bytes pass no faster than the speed allows, and the tighter bound counts`() throws {
        let job = MemoryJob([Self.rows(1_000)]) { job in
            job.speed.bytesPerSecond = 10_000
            job.speed.recordsPerSecond = 1_000_000
        }
        try job.runner.run()
        let progress = job.runner.progress
        #expect(progress.copying.inSeconds >= Double(progress.bytesRead) / 10_000 - 0.001)
    }

    @Test func `a kill ends the wait for a slow speed`() async throws {
        let job = MemoryJob([Self.rows(1_000)]) { $0.speed.recordsPerSecond = 1 }
        async let ended = await #expect(throws: WalrelayError.self) {
            try await onOwnThread(named: "job") { try job.runner.run() }
        }
        while job.runner.progress.recordsRead == 0 { try await Task.sleep(for: .milliseconds(5)) }
        let begin = ContinuousClock.now
        job.runner.kill()
        #expect(await ended?.exit == .killed)
        #expect(ContinuousClock.now - begin < .seconds(60))
    }
}

extension Duration {
    fileprivate var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
