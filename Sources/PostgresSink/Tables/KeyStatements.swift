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

extension TableMaker {
    /// The statements that give the named tables of the target their keys; blocks.
    func keyStatements(
        for tables: some Sequence<TableName>,
        on target: borrowing Connection
    ) throws(PostgresError) -> [TargetStatement] {
        let wanted = Set(tables)
        let definitions = source.tables.values.filter { wanted.contains(self.target(of: $0)) }
            .sorted { self.target(of: $0) < self.target(of: $1) }
        let oids = try TargetCatalog.oids(of: wanted, on: target)
        let indexes = try UniqueIndex.read(of: oids.values, on: target)
        let names = definitions.flatMap { table in
            table.uniqueIndexes.map {
                TableName(schema: self.target(of: table).schema, name: $0.name)
            }
        }
        let taken = try TargetCatalog.existing(names, on: target)
        return definitions.flatMap { table -> [TargetStatement] in
            let name = self.target(of: table)
            guard let oid = oids[name] else { return [] }
            return Self.keyStatements(
                of: table,
                as: name,
                there: indexes[oid] ?? [],
                isFree: { !taken.contains(TableName(schema: name.schema, name: $0)) }
            )
        }
    }

    private static func keyStatements(
        of table: TableDefinition,
        as name: TableName,
        there: [UniqueIndex],
        isFree: (String) -> Bool
    ) -> [TargetStatement] {
        var statements: [TargetStatement] = []
        var keys = there.filter(\.identifies).map { Set($0.columns) }
        if let primary = table.primaryKey, !there.contains(where: \.isPrimary) {
            let constraint =
                isFree(primary.name) ? "CONSTRAINT \(SQL.identifier(primary.name)) " : ""
            // Checked at the end only, as at the source, where two rows may change places.
            let deferral = primary.isImmediate ? "" : " DEFERRABLE INITIALLY DEFERRED"
            statements.append(
                TargetStatement(
                    table: name,
                    what: "primary key of \(name)",
                    sql: "ALTER TABLE \(name.sql) ADD \(constraint)PRIMARY KEY "
                        + "(\(Listing.columns(primary.columns)))\(deferral)"
                )
            )
            if primary.isImmediate { keys.append(Set(primary.columns)) }
        }
        let identity = table.identityColumns
        if !identity.isEmpty, !keys.contains(Set(identity)) {
            let index = table.identityIndex?.name ?? ""
            statements.append(
                TargetStatement(
                    table: name,
                    what: "unique index of \(name)",
                    sql: "CREATE UNIQUE INDEX "
                        + (isFree(index) && !index.isEmpty ? "\(SQL.identifier(index)) " : "")
                        + "ON \(name.sql) (\(Listing.columns(identity)))"
                )
            )
        }
        return statements
    }
}
