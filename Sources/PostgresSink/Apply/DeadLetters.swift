// SPDX-License-Identifier: Apache-2.0
//
// Changes that the target did not take, set aside in a table of the target: in the transaction of
// their neighbours, so that a change is either in its table or here, once.

import ChangeModel
import Glibc
import LibPQ
import Sink

/// Writes changes into `walrelay.dead_letter`.
struct DeadLetters: ~Copyable {
    private static let statement = """
        INSERT INTO walrelay.dead_letter (task, lsn, commit_lsn, ordinal, xid, schema_name, \
        table_name, op, sqlstate, reason, event, at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now())
        """

    private let task: String
    private var encoder: ChangeJSONEncoder
    private var buffer = OutputBuffer()

    init(task: String, encoder: consuming ChangeJSONEncoder) {
        self.task = task
        self.encoder = encoder
    }

    /// Sets a change aside with its event and the reason; blocks.
    ///
    /// Throws `PostgresError` where the dead-letter table does not take it either.
    mutating func add(
        _ batch: ChangeBatch,
        change index: Int,
        to table: TargetTable,
        _ refusal: RowRefusal,
        on connection: borrowing Connection
    ) throws(PostgresError) {
        let change = batch.changes[index]
        let transaction = batch.transactions[Int(change.transaction)]
        try connection.query(
            Self.statement,
            parameters: [
                task, change.lsn.description, transaction.commitLSN.description,
                String(change.ordinal), String(transaction.xid), table.schema, table.name,
                change.kind == .read ? "read" : change.kind.word, refusal.sqlState,
                refusal.reason, event(batch, change: index),
            ]
        )
    }

    /// The change as an event; empty where its values cannot be encoded, which is no new reason to
    /// stop.
    private mutating func event(_ batch: ChangeBatch, change index: Int) -> String {
        buffer.removeAll()
        do {
            try encoder.encode(batch, changes: index..<(index + 1), at: .now, into: &buffer)
        } catch {
            return ""
        }
        return buffer.withUnsafeBytes { bytes in
            String(decoding: bytes.dropLast(), as: UTF8.self)
        }
    }
}

extension PostgresTime {
    /// The system clock's moment.
    fileprivate static var now: PostgresTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return PostgresTime(
            unixMicroseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
        )
    }
}
