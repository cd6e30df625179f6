// SPDX-License-Identifier: Apache-2.0
//
// Boards with a past: an hour of samples on a clock that is moved by hand, with an outage in it, as
// a test or an eye wants to see them on the page.

import ChangeModel
import Foundation
import Synchronization

@testable import Operations
@testable import Pipeline

/// Two clocks that stand still until they are moved; the wall clock ends near the present.
final class MovedClock: Sendable {
    private let nanoseconds: Mutex<UInt64>
    private let began: UInt64
    private let wall: Int64

    /// Clocks that will show the present when so much time has passed on them.
    init(past: Duration) {
        let start: UInt64 = 1_000_000_000_000
        began = start
        nanoseconds = Mutex(start)
        let now = UTCTimestamp.now.unixMilliseconds * 1000
        wall = now - past.components.seconds * 1_000_000
    }

    func advance(seconds: Double) {
        nanoseconds.withLock { $0 += UInt64(seconds * 1e9) }
    }

    private var elapsed: UInt64 { nanoseconds.withLock { $0 - began } }

    var board: BoardClock {
        BoardClock(
            monotonic: { self.nanoseconds.withLock { $0 } },
            unixMicroseconds: { self.wall + Int64(self.elapsed / 1000) }
        )
    }
}

/// A task that has streamed for the time, with one outage of two minutes in the last third.
func makeBoardWithPast(
    minutes: Int = 60,
    tables: Int = 12,
    clock given: MovedClock? = nil
) -> StatusBoard {
    let clock = given ?? MovedClock(past: .seconds(minutes * 60))
    let board = StatusBoard(
        task: "orders",
        version: "0.1.0",
        sinkKind: "kafka",
        clock: clock.board
    )
    board.update { fill(&$0, tables: tables) }
    let points = minutes * 12
    for point in 0..<points {
        let isOut = point * 10 > points * 7 && point * 10 <= points * 7 + 240
        let wave = 1 + sin(Double(point) / 40) * 0.6 + sin(Double(point) / 7) * 0.2
        let rate = isOut ? 0 : Int(8000 * max(0.05, wave))
        clock.advance(seconds: 5)
        if !isOut {
            board.addChanges(
                rate * 5,
                transactions: rate,
                commitTime: board.clockTime - Int64(6000 + 1500 * (point % 17))
            )
        } else if point % 6 == 0 {
            board.record(
                WalrelayError(
                    "source.unreachable",
                    exit: .unreachable,
                    "The source db.example:5432 does not answer: connection refused",
                    hint: "start the server, or correct source.host"
                ),
                phase: .reconnecting
            )
        }
        board.update { status in
            if !isOut { status.phase = .streaming }
            status.source.lagBytes = rate * (900 + point % 13 * 40)
            status.source.retainedBytes = 16_777_216 + (point % 90) * 900_000
            status.sink.details["bytesWritten"] = .number(point * rate * 400 + 1_000_000)
        }
        _ = board.sample()
    }
    return board
}

/// Fills in what a task that streams to kafka knows.
private func fill(_ status: inout TaskStatus, tables: Int) {
    status.phase = .streaming
    status.source.serverVersion = "15.18"
    status.source.systemIdentifier = "7555000000000000001"
    status.source.slot = "di_slot_orders"
    status.source.publication = "di_pub_orders"
    status.source.walStatus = "reserved"
    status.stream.receivedLSN = "16/B374D848"
    status.stream.durableLSN = "16/B374D848"
    status.source.confirmedFlushLSN = "16/B374D000"
    status.source.walLSN = "16/B374D848"
    status.source.restartLSN = "16/B2000000"
    status.sink.details = [
        "queueBytes": 18_422, "rttMicroseconds": 1240, "brokersUp": 3, "brokersKnown": 3,
        "topicPrefix": "orders", "commits": 71_204,
    ]
    let soon = UTCTimestamp.now.unixMilliseconds / 1000 + 19 * 86_400
    status.certificates = [
        .init(
            server: .source,
            certificate: "server",
            subject: "CN=db.example",
            notAfterSeconds: soon
        ),
        .init(
            server: .source,
            certificate: "authority",
            subject: "CN=Shop CA",
            notAfterSeconds: soon + 900 * 86_400
        ),
    ]
    status.snapshot.tables = (0..<tables).map { index in
        .init(
            table: "shop.table_\(index)",
            state: .done,
            rowsEstimated: 1000 * (index + 1),
            rowsCopied: 1003 * (index + 1),
            bytesCopied: 88_123 * (index + 1)
        )
    }
}

/// The same in the middle of its snapshot.
func makeCopyingBoard(tables: Int = 12) -> StatusBoard {
    let clock = MovedClock(past: .seconds(240))
    let board = StatusBoard(
        task: "orders",
        version: "0.1.0",
        sinkKind: "postgresql",
        clock: clock.board
    )
    board.update { status in
        status.phase = .snapshotting
        status.snapshot.tables = (0..<tables).map { index in
            .init(
                table: "sales.part_\(index)",
                state: index < tables / 3 ? .done : .waiting,
                rowsEstimated: index % 7 == 5 ? nil : 900_000 * (index + 1),
                rowsCopied: index < tables / 3 ? 900_412 * (index + 1) : 0,
                bytesCopied: index < tables / 3 ? 74_700_000 * (index + 1) : 0
            )
        }
    }
    var copying = Array(board.status.snapshot.tables[(tables / 3)..<(tables / 3 + 4)])
    for second in 1...240 {
        clock.advance(seconds: 1)
        for index in copying.indices {
            copying[index].state = .copying
            copying[index].rowsCopied = second * (2500 + second % 40 * 20) * (tables / 3 + index)
            copying[index].bytesCopied = copying[index].rowsCopied * 83
            board.show(copying[index])
        }
        if second % 5 == 0 { _ = board.sample() }
    }
    return board
}

extension StatusBoard {
    /// The present on the board's wall clock, as PostgreSQL counts it.
    var clockTime: Int64 {
        let started = status.startedAt ?? ""
        let uptime = Int64(status.uptimeSeconds ?? 0)
        let date = try? Date(
            started,
            strategy: .iso8601.year().month().day().time(includingFractionalSeconds: true)
        )
        return Int64((date?.timeIntervalSince1970 ?? 0) * 1_000_000) + uptime * 1_000_000
            - postgresEpochMicroseconds
    }
}
