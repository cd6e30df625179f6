// SPDX-License-Identifier: Apache-2.0
//
// The least daemon there can be: follows the task's slot and applies each change by one statement,
// in transactions that begin with the checkpoint's lock as the postgresql sink's do. It is slow on
// purpose now and then, so that the target lags.

import ChangeModel
import Foundation
import LibPQ
import Logging
import Replication
import Support
import Synchronization

/// Applies the stream of a pair's slot until it is told to stop.
final class TestApplier: Sendable {
    private let pair: Pair
    private let queue = BatchQueue(capacity: 1)
    private let position: StreamPosition
    private let stop = StopSignal()
    private let failure = Mutex<(any Error)?>(nil)
    private let ended = Wakeup()
    private let lag: Duration

    /// Begins where the checkpoint stands, which has to be there; each transaction of the target
    /// stays open for `lag`.
    init(_ pair: Pair, lag: Duration = .milliseconds(20)) throws {
        self.pair = pair
        self.lag = lag
        let connection = try Connection.open(pair.target.parameters)
        let row = try connection.query("SELECT position, document FROM walrelay.checkpoint")
        var checkpoint = try JSONDecoder().decode(
            Checkpoint.self,
            from: Data(row.text(0, 1).utf8)
        )
        checkpoint.position = LSN(row.text(0, 0)) ?? .zero
        position = StreamPosition(start: checkpoint.position, wakeup: queue.consumerMoved)
        let start = checkpoint
        startThread(named: "reader") { [self] in
            note { try read(from: start) }
            queue.finish()
        }
        startThread(named: "applier") { [self] in
            note { try apply() }
            stop.request()
            ended.ring()
        }
    }

    deinit { stop.request() }

    /// Ends it; throws what went wrong meanwhile.
    func end() throws {
        stop.request()
        ended.wait(for: .seconds(30))
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    private func note(_ work: () throws -> Void) {
        do {
            try work()
        } catch {
            failure.withLock { $0 = $0 ?? error }
        }
    }

    private func read(from start: Checkpoint) throws {
        var options = StreamOptions(
            slot: "di_slot_t",
            publication: "di_pub_t",
            batchRows: 200,
            batchBytes: 1 << 20,
            batchDelay: .milliseconds(20),
            until: nil,
            statusInterval: .milliseconds(200)
        )
        options.idleAdvance = .milliseconds(100)
        var reader = try StreamReader(
            options: options,
            parameters: pair.source.parameters,
            assembler: BatchAssembler(
                checkpoint: start,
                policy: StreamPolicy(),
                types: TypeCatalog(),
                resolveTypes: { _ in [] }
            ),
            queue: queue,
            position: position,
            stop: stop,
            log: .quiet,
            beat: {}
        )
        _ = try reader.run()
    }

    private func apply() throws {
        let connection = try Connection.open(pair.target.parameters)
        try connection.query("SET session_replication_role = replica")
        var isOpen = false
        while !queue.isDrained {
            guard let batch = queue.next(within: .milliseconds(50)) else { continue }
            if !isOpen {
                try connection.query(
                    "BEGIN; SELECT position FROM walrelay.checkpoint WHERE task = 't' FOR UPDATE"
                )
                isOpen = true
            }
            for index in 0..<batch.committedCount {
                try connection.query(Self.statement(batch, batch.changes[index]))
            }
            if let checkpoint = batch.checkpoint {
                stop.sleep(for: lag)
                try connection.query(
                    "UPDATE walrelay.checkpoint SET position = '\(checkpoint.position)'; COMMIT"
                )
                isOpen = false
                position.advanceDurable(to: checkpoint.position)
            }
            for index in batch.committedCount..<batch.changes.count {
                if !isOpen {
                    try connection.query(
                        "BEGIN; SELECT 1 FROM walrelay.checkpoint WHERE task = 't' FOR UPDATE"
                    )
                    isOpen = true
                }
                try connection.query(Self.statement(batch, batch.changes[index]))
            }
            queue.recycle(batch)
        }
    }

    private static func statement(_ batch: borrowing ChangeBatch, _ change: Change) -> String {
        let relation = batch.relations[Int(change.relation)].relation
        let table = SQL.identifier(relation.schema, relation.name)
        let columns = relation.columns.map { SQL.identifier($0.name) }
        func value(_ first: UInt32, _ column: Int) -> String {
            let cell = batch.cells[Int(first) + column]
            return batch.text(cell).map(SQL.literal) ?? "NULL"
        }
        func condition() -> String {
            let first = change.old == .none ? change.newCells : change.oldCells
            let isWhole = change.old == .full
            let terms = columns.indices.filter { isWhole || relation.columns[$0].isKey }.map {
                "\(columns[$0]) IS NOT DISTINCT FROM \(value(first, $0))"
            }
            return " WHERE ctid = (SELECT ctid FROM \(table) WHERE "
                + terms.joined(separator: " AND ") + " LIMIT 1)"
        }
        switch change.kind {
        case .insert, .read:
            let values = columns.indices.map { value(change.newCells, $0) }
            return "INSERT INTO \(table) VALUES (\(values.joined(separator: ", ")))"
        case .update:
            let sent = columns.indices.filter {
                batch.cells[Int(change.newCells) + $0] != .unchanged
            }
            let list = sent.map { "\(columns[$0]) = \(value(change.newCells, $0))" }
            return "UPDATE \(table) SET \(list.joined(separator: ", "))\(condition())"
        case .delete: return "DELETE FROM \(table)\(condition())"
        case .truncate: return "TRUNCATE \(table)"
        }
    }
}
