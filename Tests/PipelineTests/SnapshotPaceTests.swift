// SPDX-License-Identifier: Apache-2.0
//
// How long a snapshot takes yet, on a clock that is moved by hand.

import Testing

@testable import Pipeline

@Suite struct SnapshotPaceTests {
    private let clock = HandClock()

    private func makeBoard() -> StatusBoard {
        let board = StatusBoard(
            task: "orders",
            version: "1",
            sinkKind: "ndjson",
            clock: clock.board
        )
        board.show(.init(table: "a.big", state: .waiting, rowsEstimated: 100_000))
        board.show(.init(table: "a.next", state: .waiting, rowsEstimated: 20_000))
        board.show(.init(table: "a.unknown", state: .waiting))
        return board
    }

    private func copy(_ board: StatusBoard, _ table: String, to rows: Int, of estimate: Int?) {
        board.show(
            .init(table: table, state: .copying, rowsEstimated: estimate, rowsCopied: rows)
        )
    }

    @Test func `the time left is by the rate of the last minute and the estimates`() {
        let board = makeBoard()
        #expect(board.status.snapshot.secondsLeft == nil, "nothing has moved")
        for second in 1...60 {
            copy(board, "a.big", to: second * 1000, of: 100_000)
            clock.advance(milliseconds: 1000)
        }
        let snapshot = board.status.snapshot
        #expect(snapshot.tables.map(\.table) == ["a.big", "a.next", "a.unknown"])
        #expect(snapshot.rowsPerSecond == 1000)
        #expect(snapshot.secondsLeft == 60)
        #expect(snapshot.tables.map(\.secondsLeft) == [40, nil, nil])
        #expect(snapshot.tables.map(\.rowsPerSecond) == [1000, nil, nil])
        #expect(snapshot.tables.map(\.share) == [0.6, 0, nil])
        #expect(snapshot.share == 0.5)
    }

    @Test func `nothing is guessed at the start, when it stalls, or where estimates are wrong`() {
        let board = makeBoard()
        copy(board, "a.big", to: 50_000, of: 100_000)
        clock.advance(milliseconds: 1000)
        #expect(board.status.snapshot.secondsLeft == nil, "a second says nothing")
        clock.advance(milliseconds: 4000)
        #expect(board.status.snapshot.secondsLeft == 7)
        clock.advance(milliseconds: 120_000)
        #expect(board.status.snapshot.secondsLeft == nil, "nothing moves")
        #expect(board.status.snapshot.rowsPerSecond == 0)
        copy(board, "a.big", to: 130_000, of: 100_000)
        clock.advance(milliseconds: 5000)
        #expect(board.status.snapshot.tables[0].secondsLeft == nil, "more rows than expected")
        #expect(board.status.snapshot.tables[0].share == 0.99)
    }

    @Test func `what is done has no rate, and a snapshot that is done neither`() {
        let board = makeBoard()
        for name in ["a.big", "a.next", "a.unknown"] {
            copy(board, name, to: 10, of: nil)
            clock.advance(milliseconds: 4000)
            board.show(.init(table: name, state: .done, rowsCopied: 10))
        }
        let snapshot = board.status.snapshot
        #expect(snapshot.rowsPerSecond == nil)
        #expect(snapshot.secondsLeft == nil)
        #expect(snapshot.tables.allSatisfy { $0.rowsPerSecond == nil && $0.secondsLeft == nil })
        #expect(snapshot.share == 1)
    }

    @Test func `names that only look alike are tables of their own`() {
        let board = makeBoard()
        board.show(.init(table: "a.\u{e9}", rowsCopied: 1))
        board.show(.init(table: "a.e\u{301}", rowsCopied: 2))
        board.show(.init(table: "a.\u{e9}", rowsCopied: 3))
        #expect(board.status.snapshot.tables.suffix(2).map(\.rowsCopied) == [3, 2])
    }

    @Test func `sums of a status from elsewhere do not trap`() {
        let snapshot = TaskStatus.Snapshot(
            tables: [
                .init(table: "a", state: .copying, rowsEstimated: .max, rowsCopied: .max),
                .init(table: "b", state: .copying, rowsEstimated: .max, rowsCopied: .max),
            ]
        )
        #expect(snapshot.rowsCopied == .max)
        #expect(snapshot.share == 0.99)
    }
}
