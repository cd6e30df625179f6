// SPDX-License-Identifier: Apache-2.0
//
// What makes the keys of tables once their rows are there: the primary key, and the index of the
// replica identity where that is another. Tells from the target's catalog what is still lacking,
// so a run that was killed in between goes on where it was.

import ChangeModel
import LibPQ

/// A statement for one table of the target.
struct TargetStatement: Sendable, Equatable {
    var table: TableName
    /// What it makes, for people: `primary key of public.orders`.
    var what: String
    var sql: String
}

/// The names of a schema's tables and indexes, and those that are about to be.
///
/// Two tables of different schemas may have indexes of the same name, and come into one.
struct TakenNames {
    private var taken: Set<TableName>

    /// Asks which of the names are taken; blocks.
    init(
        among names: some Sequence<TableName>,
        on target: borrowing Connection
    ) throws(PostgresError) {
        taken = try TargetCatalog.existing(names, on: target)
    }

    /// The name as it stands before a definition, or nothing: then the server finds a free one.
    mutating func take(_ name: String, in schema: String, prefix: String = "") -> String {
        taken.insert(TableName(schema: schema, name: name)).inserted
            ? "\(prefix)\(SQL.identifier(name)) " : ""
    }
}

extension TableMaker {
    /// The statements that give the named tables of the target their keys; blocks.
    func keyStatements(
        for tables: some Sequence<TableName>,
        on target: borrowing Connection
    ) throws(WalrelayError) -> [TargetStatement] {
        let wanted = Set(tables)
        return try Asking.target("looking for keys") { () throws(PostgresError) in
            let definitions = definitions(of: wanted)
            let oids = try TargetCatalog.oids(of: wanted, on: target)
            let indexes = try UniqueIndex.read(of: oids.values, on: target)
            let names = definitions.flatMap { table in
                table.uniqueIndexes.map {
                    TableName(schema: self.target(of: table).schema, name: $0.name)
                }
            }
            var taken = try TakenNames(among: names, on: target)
            return definitions.flatMap { table -> [TargetStatement] in
                let name = self.target(of: table)
                guard let oid = oids[name] else { return [] }
                let there = indexes[oid] ?? []
                return Self.keyStatements(of: table, as: name, there: there, taken: &taken)
            }
        }
    }

    private static func keyStatements(
        of definition: TableDefinition,
        as table: TableName,
        there: [UniqueIndex],
        taken: inout TakenNames
    ) -> [TargetStatement] {
        var statements: [TargetStatement] = []
        var keys = there.filter(\.identifies).map { Set(exactly: $0.columns) }
        if let primary = definition.primaryKey, !there.contains(where: \.isPrimary) {
            let name = taken.take(primary.name, in: table.schema, prefix: "CONSTRAINT ")
            // Checked at the end only, as at the source, where two rows may change places.
            let deferral = primary.isImmediate ? "" : " DEFERRABLE INITIALLY DEFERRED"
            statements.append(
                TargetStatement(
                    table: table,
                    what: "primary key of \(table)",
                    sql: "ALTER TABLE \(table.sql) ADD \(name)PRIMARY KEY "
                        + "(\(Listing.columns(primary.columns)))\(deferral)"
                )
            )
            if primary.isImmediate { keys.append(Set(exactly: primary.columns)) }
        }
        let identity = definition.identityColumns
        if !identity.isEmpty, !keys.contains(Set(exactly: identity)) {
            let index = definition.identityIndex.map { taken.take($0.name, in: table.schema) } ?? ""
            statements.append(
                TargetStatement(
                    table: table,
                    what: "unique index of \(table)",
                    sql: "CREATE UNIQUE INDEX \(index)ON \(table.sql) "
                        + "(\(Listing.columns(identity)))"
                )
            )
        }
        return statements
    }
}
