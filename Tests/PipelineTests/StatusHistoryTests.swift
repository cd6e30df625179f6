// SPDX-License-Identifier: Apache-2.0
//
// The last hour on a clock that is moved by hand: what a point holds, what is a gap, and the bound.

import ChangeModel
import Testing

@testable import Pipeline

@Suite struct StatusHistoryTests {
    private let clock = HandClock()

    private func makeBoard() -> StatusBoard {
        let board = StatusBoard(
            task: "orders",
            version: "1",
            sinkKind: "ndjson",
            clock: clock.board
        )
        board.update { $0.phase = .streaming }
        return board
    }

    @Test func `a point has the means since the one before, and the first has none`() throws {
        let board = makeBoard()
        _ = board.sample()
        board.addChanges(500, transactions: 1)
        board.show(.init(table: "a.b", state: .copying, rowsCopied: 250, bytesCopied: 9))
        board.update { status in
            status.sink.details["bytesWritten"] = 1000
            status.source.lagBytes = 7
            status.source.retainedBytes = 8
        }
        clock.advance(milliseconds: 5000)
        _ = board.sample()
        board.update { $0.sink.details["bytesWritten"] = 6000 }
        clock.advance(milliseconds: 5000)
        _ = board.sample()
        let points = board.history.points
        #expect(points.map { $0?.changesPerSecond } == [nil, 100, 0])
        #expect(points.map { $0?.rowsPerSecond } == [nil, 50, 0])
        #expect(points.map { $0?.bytesPerSecond } == [nil, nil, 1000])
        #expect(points.map { $0?.lagBytes } == [nil, 7, 7])
        #expect(points.map { $0?.retainedBytes } == [nil, 8, 8])
        #expect(board.history.newestUnixMilliseconds == 946_684_815_000)
    }

    @Test func `a sum that begins anew is a gap, not a negative rate`() {
        let board = makeBoard()
        for written in [9000, 100, 600] {
            board.update { $0.sink.details["bytesWritten"] = .number(written) }
            _ = board.sample()
            clock.advance(milliseconds: 5000)
        }
        #expect(board.history.points.map { $0?.bytesPerSecond } == [nil, nil, 100])
    }

    @Test func `what the server said is not known while the task is not connected`() {
        let board = makeBoard()
        board.update { status in
            status.source.lagBytes = 7
            status.source.retainedBytes = 8
        }
        board.addChanges(1, transactions: 1, commitTime: clock.postgresTime - 40_000)
        for phase in TaskStatus.Phase.allCases {
            board.update { $0.phase = phase }
            _ = board.sample()
            clock.advance(milliseconds: 5000)
        }
        for point in board.history.points {
            let phase = point?.phase ?? .checking
            let isConnected = [.snapshotting, .streaming, .stopping].contains(phase)
            #expect((point?.lagBytes != nil) == isConnected, "\(phase)")
            #expect((point?.retainedBytes != nil) == isConnected, "\(phase)")
            #expect((point?.lagMilliseconds != nil) == isConnected, "\(phase)")
        }
        // A sink that takes nothing: what was received waits, and for how long is known.
        board.update { status in
            status.phase = .reconnecting
            status.stream.receivedLSN = "0/20"
            status.stream.durableLSN = "0/10"
        }
        clock.advance(milliseconds: 5000)
        _ = board.sample()
        #expect(board.history.points.last??.lagMilliseconds ?? 0 >= 5000)
    }

    @Test func `it holds an hour, and points that were not taken are gaps`() {
        let board = makeBoard()
        for _ in 0..<800 {
            let next = board.sample()
            #expect(next > .seconds(2) && next <= .seconds(8))
            clock.advance(milliseconds: 5000)
        }
        #expect(board.history.points.count == 720)
        #expect(board.history.points.allSatisfy { $0 != nil })
        clock.advance(milliseconds: 15_000)
        _ = board.sample()
        #expect(board.history.points.count == 720)
        #expect(
            board.history.points.suffix(5).map { $0 == nil } == [false, true, true, true, false]
        )
        clock.advance(milliseconds: 90_000_000)
        _ = board.sample()
        #expect(board.history.points.count == 720)
        #expect(board.history.points.count { $0 != nil } == 1)
        // Two calls in one slot are one point.
        _ = board.sample()
        #expect(board.history.points.count { $0 != nil } == 1)
    }

    @Test func `an hour fits into some tens of KB`() {
        #expect(MemoryLayout<StatusHistory.Point?>.stride * StatusHistory.limit <= 64 << 10)
    }
}
