// SPDX-License-Identifier: Apache-2.0
//
// The SQL of a chunk. `ONLY`: a publication takes a table without its children, and a partitioned
// table's leaves are listed one by one.

import ChangeModel
import LibPQ
import Replication
import Sink

extension SnapshotChunk {
    /// The COPY that reads the chunk.
    ///
    /// `plain` allows the form without a query, which costs the server some 6 % less and takes
    /// neither generated columns nor conditions.
    func copyStatement(
        of table: SnapshotTable,
        plain: Bool,
        format: CopyFormat = .text
    ) -> String {
        let options = format == .binary ? " (FORMAT binary)" : ""
        let storage = table.source.storage[self.storage]
        let name = SQL.identifier(storage.schema, storage.name)
        let columns = table.relation.relation.columns.map { SQL.identifier($0.name) }
            .joined(separator: ", ")
        let conditions = conditions(of: table)
        if plain, !isResumable, conditions.isEmpty, !columns.isEmpty {
            return "COPY \(name) (\(columns)) TO STDOUT\(options)"
        }
        let condition =
            conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")
        return "COPY (SELECT \(columns) FROM ONLY \(name)\(condition)\(order)) TO STDOUT\(options)"
    }

    /// What was read up to some row is then what lies below its key.
    private var order: String {
        guard isResumable, case .keys(let column, _, _) = range else { return "" }
        return " ORDER BY \(SQL.identifier(column))"
    }

    /// How the planner is to be set for the chunk.
    ///
    /// A range of a key that follows the heap is a run of pages, which the index gives in order.
    /// Statistics that are old or missing must not make it a scan of the whole table each time.
    var plannerSettings: String {
        let choice = isResumable ? "off" : "DEFAULT"
        return "SET LOCAL enable_seqscan TO \(choice); SET LOCAL enable_bitmapscan TO \(choice); "
            + "SET LOCAL enable_sort TO \(choice)"
    }

    private func conditions(of table: SnapshotTable) -> [String] {
        // The line feed ends a comment that a filter may close with.
        var conditions = table.source.filter.map { ["(\($0)\n)"] } ?? []
        switch range {
        case .whole: break
        case .pages(let lower, let upper):
            if let lower { conditions.append("ctid >= '(\(lower),0)'::tid") }
            if let upper { conditions.append("ctid < '(\(upper),0)'::tid") }
        case .keys(let column, let lower, let upper):
            // The bound above the greatest key lies beyond the column's type. The indexes of smaller
            // integers serve for bigint too; oid alone would take the bound for one of its own.
            let greatest = table.isOID(column) ? Int64(UInt32.max) : .max
            let column = SQL.identifier(column)
            if let lower {
                conditions.append(
                    lower > greatest ? "false" : "\(column) >= '\(lower)'::pg_catalog.int8"
                )
            }
            if let upper, upper <= greatest {
                conditions.append("\(column) < '\(upper)'::pg_catalog.int8")
            }
        }
        return conditions
    }
}

extension Connection {
    /// Sets the planner for a chunk, unless the last one, of which this was `wasResumable`, needed
    /// the same.
    func setPlanner(for chunk: SnapshotChunk, wasResumable: inout Bool) throws(WalrelayError) {
        guard chunk.isResumable != wasResumable else { return }
        try query(chunk.plannerSettings, while: .checking)
        wasResumable = chunk.isResumable
    }

    /// Runs the COPY of a chunk and lends each of its messages; blocks until it has ended.
    ///
    /// `idleLimit` bounds the wait for each message. Throws `WalrelayError` for whatever the source
    /// says, and what the closure throws; then the COPY has been cancelled on the server too.
    func copyOut(
        _ statement: String,
        of storage: SourceTable.Storage,
        idleLimit: Duration,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        do {
            try copyOut(of: statement, idleLimit: idleLimit, body)
        } catch let error as PostgresError {
            throw SnapshotFault.error(error, while: .copying("\(storage.schema).\(storage.name)"))
        }
    }
}
