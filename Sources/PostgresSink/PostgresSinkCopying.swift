// SPDX-License-Identifier: Apache-2.0
//
// Tables that are copied beside the stream. Their keys are made before their rows: made after them
// they would hold up the stream of all other tables for as long as that takes. Rows go through
// lanes, as a snapshot's do; or, where they are merged or may become dead letters, through one
// transaction in a session of its own, which is committed together with the checkpoint that counts
// them. So what the stream commits meanwhile has nothing to do with them.

public import ChangeModel
import LibPQ
import Logging
public import Sink

/// The transaction of a copy whose rows are merged.
final class CopySession {
    let session: TargetSession
    let applier: Applier
    /// Whether all rows have come.
    var isComplete = false

    /// Connects and begins the transaction; blocks.
    init(_ options: PostgresSinkOptions, patience: Patience, log: Logger) throws {
        session = try TargetSession(options.target, patience: patience)
        applier = Applier(options, logger: log)
        try session.connection.query("BEGIN")
    }
}

extension Applier {
    /// An applier as the options ask for it.
    convenience init(_ options: PostgresSinkOptions, logger: Logger) {
        self.init(
            task: options.task,
            onRowError: options.onRowError == .stop ? .stop : .deadLetter,
            encoder: ChangeJSONEncoder(
                task: options.task,
                database: options.database,
                version: options.version,
                format: options.format
            ),
            logger: logger
        )
    }
}

extension PostgresSink {
    /// Whether tables are emptied: what is merged into what is there takes no row away, so what is
    /// deleted at the source before the copy has to be brought by the stream.
    public var replacesCopies: Bool { options.ifNotEmpty != .merge }

    /// Whether rows of a snapshot go past the batches.
    var hasLanes: Bool { options.ifNotEmpty != .merge && options.onRowError == .stop }

    /// Makes missing tables and all keys, empties the tables unless rows are merged, claims them.
    ///
    /// Blocks while the keys of tables that are there are made. Throws what `inspect` throws, and
    /// then has changed nothing.
    public func beginCopy(
        _ relations: [Relation],
        types: [TypeEntry]
    ) throws -> (any CopyLanes)? {
        let session = try usable()
        let token = Int64.random(in: 1...(.max))
        abandonCopy()
        try attempt("making the target's tables") {
            try CheckpointTable.make(on: session.connection)
            do {
                try begin(session)
                try tables.prepare(
                    relations,
                    types: types,
                    after: durable,
                    isCopy: true,
                    on: session
                )
                try session.connection.query("\(checkpoints.beginningCopy(token)); COMMIT")
                isInTransaction = false
            } catch {
                isInTransaction = false
                tables.forget()
                _ = try? session.connection.query("ROLLBACK")
                throw error
            }
            try tables.finishKeys(on: session)
        }
        guard hasLanes else {
            copying = try attempt("beginning to copy on the target") {
                try CopySession(options, patience: patience, log: log)
            }
            return nil
        }
        let lanes = PostgresLanes(
            parameters: options.target,
            record: .copy(checkpoints, token: token),
            table: tables.copyTargets()
        )
        self.lanes = lanes
        return lanes
    }

    /// Merges rows, in the copy's own transaction.
    public func writeCopied(_ batch: borrowing ChangeBatch) throws {
        guard let copying, !batch.changes.isEmpty else {
            throw WalrelayError("sink.call_order", exit: .internalError, "No copy was begun")
        }
        try attempt("copying rows") {
            let session = copying.session
            let all = 0..<batch.changes.count
            let point = batch.changes[0].lsn
            try copying.applier.apply(batch, all, on: session.connection) { version in
                try tables.table(for: version, at: point, on: session)
            }
        }
        bytesWritten += UInt64(batch.bytes.count)
    }

    /// Makes the indexes that are asked for, where lanes have brought the rows; the next commit is
    /// that of merged ones.
    public func endCopy() throws {
        if let copying {
            copying.isComplete = true
        } else {
            let session = try usable()
            try attempt("making indexes on the target") { try tables.finishIndexes(on: session) }
            endsCopy = true
        }
    }

    /// Closes the copy's session; what lanes have brought is emptied by the next copy.
    public func abandonCopy() { copying = nil }
}
