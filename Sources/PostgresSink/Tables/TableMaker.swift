// SPDX-License-Identifier: Apache-2.0
//
// Makes the schemas, types and tables that the target lacks. A table made here takes every row of
// the source and nothing more: columns, NOT NULL, collations. Its key comes after its rows
// (KeyStatements), since an index is built faster than it is inserted into. Defaults are not
// copied: every value is sent, and a sequence of the target's own would know nothing of the
// source's. A partitioned table becomes a plain one.

import ChangeModel
import LibPQ

/// Tables for a source's rows.
struct TableMaker {
    /// What was made, and what an operator should know of it.
    struct Made: Sendable, Equatable {
        var tables: [TableName] = []
        var notices: [String] = []
    }

    let source: SourceDefinition
    let naming: TableNaming

    /// Makes what is missing in the caller's transaction; blocks.
    ///
    /// Throws `sink.table_not_made` for what the target refuses.
    func make(on target: borrowing Connection) throws(WalrelayError) -> Made {
        let missing = try Asking.target("looking for the tables") { () throws(PostgresError) in
            try missingTables(on: target)
        }
        guard !missing.isEmpty else { return Made() }
        var types = try Asking.target("looking for types") { () throws(PostgresError) in
            let uses = missing.flatMap { $0.columns.map(\.type) + $0.generated.map(\.type) }
            return try TargetTypes(of: uses, from: source.types, naming: naming, on: target)
        }
        let schemas = types.missingSchemas.union(missing.map { self.target(of: $0).$schema })
        try Asking.making("the schemas of the tables") { () throws(PostgresError) in
            try Self.makeSchemas(schemas, on: target)
        }
        try Asking.making("the types of the tables' columns") { () throws(PostgresError) in
            try types.make(on: target)
        }
        let collations = try Asking.target("looking for collations") { () throws(PostgresError) in
            let columns = missing.flatMap { $0.columns.compactMap(\.collation) }
            let generated = missing.flatMap { $0.generated.compactMap(\.collation) }
            return try TargetCatalog.collations(columns + generated, on: target)
        }
        var made = Made(notices: types.notices)
        for table in missing {
            let name = self.target(of: table)
            let draft = TableDraft(table, as: name, types: types, collations: collations)
            let notices = try Asking.making("table \(name)") { () throws(PostgresError) in
                try draft.make(on: target)
            }
            made.tables.append(name)
            made.notices += draft.notices + notices
        }
        made.notices += Self.defaultsNotice(of: missing).map { [$0] } ?? []
        return made
    }

    private func missingTables(
        on target: borrowing Connection
    ) throws(PostgresError) -> [TableDefinition] {
        let there = try TargetCatalog.existing(source.tables.values.map(target(of:)), on: target)
        return definitions(of: Set(source.tables.values.map(target(of:))).subtracting(there))
    }

    /// The source's tables that are written to the named ones, in the order of those.
    func definitions(of tables: Set<TableName>) -> [TableDefinition] {
        source.tables.values.filter { tables.contains(target(of: $0)) }
            .sorted { target(of: $0) < target(of: $1) }
    }

    func target(of table: TableDefinition) -> TableName { naming.target(of: table.relation) }

    /// Makes those of the schemas that are missing; blocks.
    static func makeSchemas(
        _ names: Set<ExactText>,
        on target: borrowing Connection
    ) throws(PostgresError) {
        guard !names.isEmpty else { return }
        let rows = try target.query(
            "SELECT nspname FROM pg_catalog.pg_namespace "
                + "WHERE nspname IN (\(SQL.literals(names.sorted().map(\.wrappedValue))))"
        )
        let there = Set(exactly: (0..<rows.count).map { rows.text($0, 0) })
        // IF NOT EXISTS would ask for the right to make schemas where none is to be made.
        for name in names.sorted() where !there.contains(name) {
            try target.query("CREATE SCHEMA \(SQL.identifier(name.wrappedValue))")
        }
    }

    private static func defaultsNotice(of tables: [TableDefinition]) -> String? {
        let columns = tables.flatMap { table in
            table.columns.filter { $0.default == .sequence || $0.default == .identity }
                .map { "\(table.relation.qualifiedName).\($0.name)" }
        }
        guard !columns.isEmpty else { return nil }
        return "serial and identity columns are plain numbers on the target, without a sequence: "
            + "\(Prose.list(columns.sorted())); whoever writes there later makes one, "
            + "beginning above the highest number"
    }
}

/// The statement for one table.
///
/// A generated column stays generated: pgoutput sends no computed values (before 18 it cannot,
/// and our publication does not ask for them), so a plain column would stay NULL in every row
/// that the stream brings. Where the target cannot compute it, it is left out with a notice.
private struct TableDraft {
    private let name: TableName
    private let plain: [String]
    private let generated: [(name: String, place: Int, sql: String)]
    private(set) var notices: [String] = []

    init(
        _ table: TableDefinition,
        as name: TableName,
        types: TargetTypes,
        collations: Set<TableName>
    ) {
        var lost: [String] = []
        func collate(_ collation: TableName?, of column: String) -> String {
            guard let collation else { return "" }
            if collations.contains(collation) { return " COLLATE \(collation.sql)" }
            lost.append("\(name).\(column) has no collation of its own: no \(collation) there")
            return ""
        }
        self.name = name
        plain = table.columns.map { column in
            "\(SQL.identifier(column.name)) \(types.sql(column.type))"
                + collate(column.collation, of: column.name)
                + (column.isRequired ? " NOT NULL" : "")
        }
        generated = table.generated.map { column in
            let sql =
                "\(SQL.identifier(column.name)) \(types.sql(column.type))"
                + collate(column.collation, of: column.name)
                + " GENERATED ALWAYS AS (\(column.expression)) "
            return (column.name, column.place, sql + (column.isVirtual ? "VIRTUAL" : "STORED"))
        }
        notices = lost
    }

    /// Makes the table, with as many of the generated columns as the target takes.
    func make(on target: borrowing Connection) throws(PostgresError) -> [String] {
        guard !generated.isEmpty else {
            try target.query(statement(with: plain))
            return []
        }
        guard target.serverVersion >= 120_000 else {
            try target.query(statement(with: plain))
            return generated.map { leftOut($0.name, "the target knows them from 12 on") }
        }
        let stored = generated.map { column in
            let isKnown = target.serverVersion >= 180_000 || !column.sql.hasSuffix("VIRTUAL")
            return isKnown ? column.sql : String(column.sql.dropLast("VIRTUAL".count)) + "STORED"
        }
        var whole = plain
        for (column, sql) in zip(generated, stored).reversed() {
            whole.insert(sql, at: column.place)
        }
        guard let error = try target.attempt(statement(with: whole)) else { return [] }
        guard error.sqlState != "42501" else { throw error }
        try target.query(statement(with: plain))
        var notices: [String] = []
        for (column, sql) in zip(generated, stored) {
            if let error = try target.attempt("ALTER TABLE \(name.sql) ADD COLUMN \(sql)") {
                notices.append(leftOut(column.name, "\(error)"))
            }
        }
        return notices
    }

    private func statement(with columns: [String]) -> String {
        "CREATE TABLE \(name.sql) (\(columns.joined(separator: ", ")))"
    }

    private func leftOut(_ column: String, _ reason: String) -> String {
        "generated column \(name).\(column) is left out: \(reason)"
    }
}
