// SPDX-License-Identifier: Apache-2.0
//
// The names of tables in settings that were reloaded: what a start would refuse with an error leaves
// a task that runs with the tables that it has, and is told.

import ChangeModel
import LibPQ
import Logging
import Replication

extension TaskRunner {
    /// Keeps to the former tables where settings that were reloaded name one that is not there, or
    /// none that can be replicated; returns whether that is so, and the stream is to begin anew.
    func keepsFormerTables(
        _ run: inout RunState,
        on control: borrowing Connection
    ) throws -> Bool {
        guard let former = run.tables, former != options.tables,
            let error = try faultOfNames(known: run.checkpoint?.relations ?? [], on: control)
        else {
            run.tables = options.tables
            return false
        }
        board.record(error)
        log.error(
            "the former tables stay: \(error.message)",
            metadata: ["code": "\(error.code)", "try": "\(error.hint), and reload"]
        )
        live.keep(former)
        return true
    }

    /// What is wrong with the names alone; patterns that match nothing are warned of.
    private func faultOfNames(
        known: [Relation],
        on control: borrowing Connection
    ) throws -> WalrelayError? {
        var requirements = Requirements(task: options.task, tables: options.tables)
        requirements.taken = Set(known.map(\.oid))
        let findings = try Prerequisites.check(requirements, on: control)
            .filter { $0.id.hasPrefix("tables.") || $0.id == "table.missing" }
            .filter { !isLeftToStream($0, known: known) }
        supervisor.tell(findings)
        return Prerequisites.firstFailure(findings)
    }
}
