// SPDX-License-Identifier: Apache-2.0
//
// Which tables are compared: those of the settings that the task has taken, as far as the command
// line names them.

import ChangeModel
import LibPQ
import Logging
import Replication

extension Verification {
    /// The source's tables, looked up just now; blocks.
    ///
    /// Throws `WalrelayError` where the checkpoint is another system's, or nothing is left.
    func sourceTables(
        only oids: Set<UInt32>?,
        control: Session,
        watcher: Session
    ) throws -> [SourceTable] {
        let checkpoint = try TargetCheckpoint.read(task: options.task, on: watcher)
        let facts = try ServerFacts(on: control.connection)
        guard checkpoint.systemIdentifier == facts.systemIdentifier,
            checkpoint.database == facts.database
        else {
            throw WalrelayError(
                "checkpoint.other_system",
                exit: .checkpointMismatch,
                "The target's checkpoint belongs to database \(checkpoint.database) of system "
                    + "\(checkpoint.systemIdentifier), and source is database \(facts.database) "
                    + "of system \(facts.systemIdentifier)",
                hint: "check source.host and sink.postgresql"
            )
        }
        let all = try SourceCatalog.tables(options.selection, on: control.connection)
        let taken = Set(checkpoint.relations.map(\.oid))
        for table in all where !taken.contains(table.relation.oid) {
            log.notice("\(table.relation.qualifiedName) is not taken by the task: left out")
        }
        let known = all.filter { taken.contains($0.relation.oid) }
        for pattern in options.only
        where !known.contains(where: {
            pattern.matches(schema: $0.relation.schema, name: $0.relation.name)
        }) {
            throw WalrelayError(
                "verify.no_such_table",
                exit: .usage,
                "The task takes no table \(pattern)",
                hint: "name tables as tables.include does: "
                    + known.prefix(5).map(\.relation.qualifiedName).joined(separator: ", ")
            )
        }
        let chosen = known.filter { table in
            (oids?.contains(table.relation.oid) ?? true)
                && (options.only.isEmpty
                    || options.only.contains {
                        $0.matches(schema: table.relation.schema, name: table.relation.name)
                    })
        }
        // Large ones first: they are divided, and the small ones fill what is left.
        return chosen.sorted { first, second in
            let bytes = [first, second].map { $0.storage.reduce(0) { $0 + $1.bytes } }
            return (bytes[1], first.relation.oid) < (bytes[0], second.relation.oid)
        }
    }

    /// The tables with their counterparts on the target; blocks.
    func pair(
        _ sources: [SourceTable],
        _ checkpoint: Checkpoint,
        _ source: Session,
        _ target: Session
    ) throws -> [ComparedTable] {
        let rendering = try Rendering(source: source, target: target)
        return try sources.map { table in
            let relation = table.relation
            return try Pairing.pair(
                table,
                as: checkpoint.relations.first { $0.oid == relation.oid } ?? relation,
                with: options.targetName(relation),
                rendering: rendering,
                on: (source, target)
            )
        }
    }

    /// Reads what was committed between the source's snapshot and the target's position; blocks.
    func fold(
        _ source: consuming SourcePoint,
        of tables: [ComparedTable],
        upTo position: LSN
    ) throws -> ChangeFold {
        var fold = ChangeFold(tables)
        let relations = source.tables.map(\.relation)
        let tail = try SlotTail(
            continuing: source.slot,
            publication: Publication.name(task: options.task),
            relations: relations,
            stop: stop
        )
        do {
            try tail.read(upTo: position, within: .seconds(120)) { try fold.take($0) }
        } catch let error as WalrelayError where error.exit == .refused {
            // The stream's refusals are about a task that goes on; here another point serves.
            throw WalrelayError(
                "verify.table_changed",
                exit: .unreachable,
                error.message,
                hint: "run verify again",
                isTransient: true
            )
        }
        return fold
    }
}
