// SPDX-License-Identifier: Apache-2.0
//
// ADD COLUMN, at its place in the stream. The relation message brings the column's name and type;
// what the rows that were there already have in it, nobody sends. The source's catalog tells:
//
//   attmissingval                       the default as it was when the column was added (11+)
//   no default                          NULL
//   a default, table never rewritten    NULL: ALTER COLUMN SET DEFAULT came later
//   a default, table rewritten          each row may have got a value of its own: refused
//
// The catalog is read as it is now, which may be long after that place: a column that is gone or
// has another name by then leaves NULL, and the stream refuses that later change itself.

import ChangeModel
import LibPQ

/// Columns that a relation has and its table on the target has not.
struct AddedColumns: Sendable {
    /// What rows that were there before have in an added column.
    enum Fill: Sendable, Equatable {
        case null
        /// The same in every row, as the source prints it.
        case constant(String)
        /// The source does not have the column any more.
        case unknown
        /// Nobody can tell; the default as the source has it now.
        case untold(String)
    }

    let naming: TableNaming
    /// The types that the checkpoint remembers, for those that the source has no more.
    var known: [TypeEntry] = []

    /// Adds what the target lacks of the relation's columns, in the target's open transaction.
    ///
    /// Returns what an operator should know, a line each; empty where the target has them all: a
    /// column that exists is not touched. Blocks, also for whoever holds a lock on the table.
    /// Throws `sink.volatile_default` or `sink.column_not_added`, neither of which a retry mends.
    func add(
        to relation: Relation,
        at commit: LSN,
        source: borrowing Connection,
        target: borrowing Connection
    ) throws(WalrelayError) -> [String] {
        let name = naming.target(of: relation)
        let lacking = try Asking.target("looking at table \(name)") { () throws(PostgresError) in
            try Self.lacking(relation, in: name, on: target)
        }
        guard !lacking.isEmpty else { return [] }
        let uses = lacking.map { TypeUse($0) }
        let (fills, catalog) = try Asking.source("looking at table \(relation.qualifiedName)") {
            () throws(PostgresError) in
            (
                try AddedColumnHistory(of: relation, on: source).fills(of: lacking),
                try CatalogTypes(of: uses, known: known, on: source)
            )
        }
        var types = try Asking.target("looking for types") { () throws(PostgresError) in
            try TargetTypes(of: uses, from: catalog, naming: naming, on: target)
        }
        try refuseUntold(zip(lacking, fills), of: relation, at: commit, types: types)
        // Put together now: types that are made below go with the transaction.
        let byHand = Self.byHand(lacking, of: name, types: types)
        do {
            try TableMaker.makeSchemas(types.missingSchemas, on: target)
            try types.make(on: target)
            for (column, fill) in zip(lacking, fills) {
                try Self.add(column, fill, as: types.sql(TypeUse(column)), to: name, on: target)
            }
        } catch {
            guard error.kind == .server, !TargetErrors.isTransient(error) else {
                throw TargetErrors.error(error, while: "adding a column to \(name) on the target")
            }
            throw Self.refusal(error, lacking, of: name, byHand: byHand, at: commit)
        }
        let faults = types.findings.map { "\($0.subject) on the target \($0.found): \($0.mend)" }
        return types.notices + faults
            + zip(lacking, fills).map { "\(name): column \($0.name) added\(Self.text($1))" }
    }

    /// The columns that a table of the target lacks; none where there is no such table.
    static func lacking(
        _ relation: Relation,
        in name: TableName,
        on target: borrowing Connection
    ) throws(PostgresError) -> [Column] {
        guard let oid = try TargetCatalog.oids(of: [name], on: target)[name] else { return [] }
        let there = try TargetColumn.read(of: [oid], on: target)[oid] ?? [:]
        return relation.columns.filter { there[$0.$name] == nil }
    }

    /// Never NOT NULL: the source may have made it so later, after rows with NULL.
    private static func add(
        _ column: Column,
        _ fill: Fill,
        as type: String,
        to table: TableName,
        on target: borrowing Connection
    ) throws(PostgresError) {
        let name = SQL.identifier(column.name)
        // NULL is said too: a domain on the target may have a default of its own.
        let value = if case .constant(let text) = fill { SQL.literal(text) } else { "NULL" }
        try target.query(
            "ALTER TABLE \(table.sql) ADD COLUMN \(name) \(type) DEFAULT \(value)",
            within: Connection.statementLimit
        )
        try target.query("ALTER TABLE \(table.sql) ALTER COLUMN \(name) DROP DEFAULT")
    }

    private static func text(_ fill: Fill) -> String {
        switch fill {
        case .null, .untold: ""
        case .constant(let text): ", with \(text) in the rows that were there"
        case .unknown: "; the source has it no more, the rows that were there have NULL"
        }
    }

    // MARK: Refusals

    private func refuseUntold(
        _ columns: some Sequence<(Column, Fill)>,
        of relation: Relation,
        at commit: LSN,
        types: TargetTypes
    ) throws(WalrelayError) {
        let untold = columns.compactMap { column, fill -> (Column, String)? in
            if case .untold(let expression) = fill { (column, expression) } else { nil }
        }
        guard !untold.isEmpty else { return }
        let name = naming.target(of: relation)
        let what = untold.map { "column \"\($0.name)\" with the default \($1)" }
        throw WalrelayError(
            "sink.volatile_default",
            exit: .refused,
            "\(relation.qualifiedName) got \(what.joined(separator: " and ")) in the transaction "
                + "committed at \(commit): each row that was there may have a value of its own "
                + "(the default is volatile, or the table was rewritten since), "
                + "which the stream does not bring",
            hint: "run \(Self.byHand(untold.map(\.0), of: name, types: types)) on the target and "
                + "start again: a column that exists is not touched. Then "
                + "`walrelay verify --repair` copies the source's values into the rows that are older"
        )
    }

    private static func refusal(
        _ error: PostgresError,
        _ columns: [Column],
        of name: TableName,
        byHand: String,
        at commit: LSN
    ) -> WalrelayError {
        WalrelayError(
            "sink.column_not_added",
            exit: error.sqlState == "42501" ? .prerequisite : .refused,
            "\(name) on the target lacks \(columns.map(\.name).joined(separator: ", ")), added at "
                + "the source in the transaction committed at \(commit): \(error)",
            hint: "run \(byHand) as the table's owner, "
                + "and start again"
        )
    }

    private static func byHand(
        _ columns: [Column],
        of name: TableName,
        types: TargetTypes
    ) -> String {
        let parts = columns.map {
            "ADD COLUMN \(SQL.identifier($0.name)) \(types.sql(TypeUse($0)))"
        }
        let preparation = types.preparation(for: columns.map { TypeUse($0) })
        return "`\(preparation)ALTER TABLE \(name.sql) \(parts.joined(separator: ", "))`"
    }
}
