// SPDX-License-Identifier: Apache-2.0
//
// The board's rate, lag, counters and pulse, on clocks that the test moves by hand.

import ChangeModel
import Synchronization
import Testing

@testable import Pipeline

/// Two clocks that stand still until the test moves them.
final class HandClock: Sendable {
    private let nanoseconds = Mutex<UInt64>(5_000_000_000)

    func advance(milliseconds: UInt64) {
        nanoseconds.withLock { $0 += milliseconds * 1_000_000 }
    }

    var board: BoardClock {
        BoardClock(
            monotonic: { self.nanoseconds.withLock { $0 } },
            unixMicroseconds: {
                postgresEpochMicroseconds + Int64(self.nanoseconds.withLock { $0 } / 1000)
            }
        )
    }

    /// The present moment as PostgreSQL counts it.
    var postgresTime: Int64 { Int64(nanoseconds.withLock { $0 } / 1000) }
}

@Suite struct StatusBoardTests {
    private let clock = HandClock()

    private func makeBoard() -> StatusBoard {
        StatusBoard(task: "orders", version: "1", sinkKind: "ndjson", clock: clock.board)
    }

    @Test func `a new board knows its task and nothing else`() {
        let status = makeBoard().status
        var expected = TaskStatus(task: "orders", version: "1", sinkKind: "ndjson")
        expected.startedAt = "2000-01-01T00:00:05.000Z"
        expected.uptimeSeconds = 0
        #expect(status == expected)
        #expect(status.phase == .checking)
        #expect(status.stream.lagMilliseconds == nil)
        #expect(status.stream.changesPerSecond == 0)
    }

    @Test func `changes are summed and their rate falls to zero when nothing comes`() {
        let board = makeBoard()
        for _ in 0..<20 {
            board.addChanges(500, transactions: 5)
            clock.advance(milliseconds: 500)
        }
        #expect(board.status.stream.changes == 10_000)
        #expect(board.status.stream.transactions == 100)
        #expect((900...1100).contains(board.status.stream.changesPerSecond))
        clock.advance(milliseconds: 5000)
        #expect((1...700).contains(board.status.stream.changesPerSecond))
        clock.advance(milliseconds: 7000)
        #expect(board.status.stream.changesPerSecond == 0)
        #expect(board.status.stream.changes == 10_000)
    }

    @Test func `the first batch is not divided by a window that has not passed`() {
        let board = makeBoard()
        board.addChanges(300, transactions: 1)
        clock.advance(milliseconds: 2000)
        #expect(board.status.stream.changesPerSecond == 150)
    }

    @Test func `lag is from commit to durable, never negative`() {
        let board = makeBoard()
        board.addChanges(1, transactions: 1, commitTime: clock.postgresTime - 250_000)
        #expect(board.status.stream.lagMilliseconds == 250)
        board.addChanges(1, transactions: 1, commitTime: clock.postgresTime + 9_000_000)
        #expect(board.status.stream.lagMilliseconds == 0)
        for broken in [Int64.max, Int64.min] {
            board.addChanges(1, transactions: 1, commitTime: broken)
        }
        #expect(board.status.stream.changes == 4)
    }

    @Test func `lag grows while something received is not durable`() {
        let board = makeBoard()
        board.addChanges(1, transactions: 1, commitTime: clock.postgresTime - 40_000)
        clock.advance(milliseconds: 1000)
        board.update { status in
            status.stream.receivedLSN = "0/20"
            status.stream.durableLSN = "0/10"
        }
        clock.advance(milliseconds: 3000)
        #expect(board.status.stream.lagMilliseconds == 3040)
        board.update { $0.stream.durableLSN = "0/20" }
        clock.advance(milliseconds: 20_000)
        #expect(board.status.stream.lagMilliseconds == 0)
    }

    @Test func `after a quiet hour lag begins at zero`() {
        let board = makeBoard()
        board.addChanges(1, transactions: 1, commitTime: clock.postgresTime - 300_000_000)
        #expect(board.status.stream.lagMilliseconds == 300_000)
        clock.advance(milliseconds: 3_600_000)
        board.update { status in
            status.stream.receivedLSN = "0/20"
            status.stream.durableLSN = "0/10"
        }
        clock.advance(milliseconds: 15)
        #expect(board.status.stream.lagMilliseconds == 15)
    }

    @Test func `reconnects and errors are counted when they begin`() {
        let board = makeBoard()
        let error = WalrelayError("net.lost", exit: .unreachable, "gone", hint: "wait")
        board.record(error, phase: .reconnecting)
        board.update { $0.phase = .reconnecting }
        board.update { $0.phase = .streaming }
        clock.advance(milliseconds: 1)
        board.record(error, phase: .reconnecting)
        #expect(board.counters.reconnects == 2)
        #expect(board.counters.errors == 2)
        #expect(board.counters.errorsByCode == ["net.lost": 2])
        #expect(board.counters.lastError == 946_684_805_001_000)
        #expect(board.status.lastError?.at == "2000-01-01T00:00:05.001Z")
        board.update { $0.lastError = nil }
        #expect(board.counters.errors == 2)
    }

    @Test func `a warning stands with its first time until it is taken back`() {
        let board = makeBoard()
        board.warn("slot.retention", "5 GiB")
        clock.advance(milliseconds: 2000)
        board.warn("slot.retention", "6 GiB")
        board.warn("b", "other")
        #expect(
            board.status.warnings == [
                .init(code: "slot.retention", text: "6 GiB", since: "2000-01-01T00:00:05.000Z"),
                .init(code: "b", text: "other", since: "2000-01-01T00:00:07.000Z"),
            ]
        )
        board.clearWarning("slot.retention")
        board.clearWarning("never set")
        #expect(board.status.warnings.map(\.code) == ["b"])
        for index in 0..<100 { board.warn("code\(index)", "") }
        #expect(board.status.warnings.count == 32)
        #expect(board.status.warnings.last?.code == "code99")
    }

    @Test func `errors of late are counted, the newest first, and bounded`() {
        let board = makeBoard()
        func record(_ code: String, _ message: String) {
            board.record(WalrelayError(code, exit: .unreachable, message, hint: "wait"))
            clock.advance(milliseconds: 1000)
        }
        for _ in 0..<3 {
            record("net.lost", "gone")
            record("sink.full", "full")
        }
        #expect(board.status.recentErrors.map(\.code) == ["sink.full", "net.lost"])
        #expect(board.status.recentErrors.map(\.count) == [3, 3])
        #expect(board.status.recentErrors.last?.firstAt == "2000-01-01T00:00:05.000Z")
        #expect(board.status.recentErrors.last?.at == "2000-01-01T00:00:09.000Z")
        #expect(board.counters.errors == 6)
        for index in 0..<50 { record("x", "\(index)") }
        #expect(board.status.recentErrors.map(\.message) == (40..<50).reversed().map { "\($0)" })
    }

    @Test func `codes that are counted apart have a bound`() {
        let board = makeBoard()
        for number in 0..<1000 {
            board.record(WalrelayError("code.\(number)", exit: .unreachable, "gone"))
        }
        let counted = board.counters.errorsByCode
        #expect(counted.count == StatusBoard.Counters.codeLimit + 1)
        #expect(counted.values.reduce(0, +) == 1000)
        #expect(counted["other"] == 1000 - StatusBoard.Counters.codeLimit)
        board.record(WalrelayError("code.3", exit: .unreachable, "gone"))
        #expect(board.counters.errorsByCode["code.3"] == 2)
    }

    @Test func `a phase of work ends the trouble before it, and knows how long that was`() throws {
        let board = makeBoard()
        _ = board.enter(.streaming)
        let error = WalrelayError("net.lost", exit: .unreachable, "gone")
        for _ in 0..<3 {
            board.recordFailedAttempt(error)
            clock.advance(milliseconds: 500)
        }
        #expect(try #require(board.enter(.checking)).mended == nil)
        let (former, mended) = try #require(board.enter(.streaming))
        #expect(former == .checking)
        #expect(mended?.trouble.code == "net.lost")
        #expect(mended?.trouble.failures == 3)
        #expect(mended?.after == .milliseconds(1500))
        #expect(try #require(board.enter(.streaming)).mended == nil)
    }

    @Test func `a task that stops can only fail any more`() {
        let board = makeBoard()
        _ = board.enter(.streaming)
        #expect(board.enter(.stopping)?.former == .streaming)
        #expect(board.enter(.snapshotting) == nil && board.enter(.streaming) == nil)
        board.recordFailedAttempt(WalrelayError("net.lost", exit: .unreachable, "gone"))
        board.standBy(for: nil)
        board.update { $0.phase = .checking }
        #expect(board.status.phase == .stopping && board.counters.reconnects == 0)
        board.record(WalrelayError("a.b", exit: .refused, "no"), phase: .failed)
        #expect(board.status.phase == .failed)
        #expect(board.enter(.stopping) == nil && board.status.phase == .failed)
    }

    @Test func `only a part at work can stall, and a beat mends it`() {
        let board = makeBoard()
        clock.advance(milliseconds: 60_000)
        #expect(board.stalledParts(after: .seconds(30)) == [])
        board.begin(.reader)
        board.begin(.sink)
        clock.advance(milliseconds: 30_000)
        #expect(board.stalledParts(after: .seconds(30)) == [])
        board.beat(.reader)
        clock.advance(milliseconds: 1)
        #expect(board.stalledParts(after: .seconds(30)) == [.sink])
        #expect(board.silence(of: .sink) == .milliseconds(30_001))
        #expect(board.silence(of: .snapshot) == nil)
        board.end(.sink)
        board.beat(.sink)
        #expect(board.stalledParts(after: .seconds(30)) == [])
    }

    @Test func `a part that is at work several times ends with the last of them`() {
        let board = makeBoard()
        board.begin(.snapshot)
        board.begin(.snapshot)
        board.end(.snapshot)
        clock.advance(milliseconds: 31_000)
        #expect(board.stalledParts(after: .seconds(30)) == [.snapshot])
        board.end(.snapshot)
        #expect(board.stalledParts(after: .seconds(30)) == [])
    }

    @Test func `many writers lose nothing`() async {
        let board = makeBoard()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<1000 {
                        board.addChanges(2, transactions: 1)
                        board.update { $0.source.lagBytes = ($0.source.lagBytes ?? 0) + 1 }
                    }
                }
            }
        }
        #expect(board.status.stream.changes == 8000)
        #expect(board.status.source.lagBytes == 4000)
    }
}
