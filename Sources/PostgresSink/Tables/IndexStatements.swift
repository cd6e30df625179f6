// SPDX-License-Identifier: Apache-2.0
//
// The indexes and constraints of the source besides the key, for `indexes: afterSnapshot`: the
// server's own definitions, with the names of the tables changed to the target's. What the target
// has already is left alone, so a run that was killed in between goes on where it was.

import ChangeModel
import LibPQ

/// Definitions of one table, as a server prints them.
private struct Definitions {
    /// An index that belongs to no constraint.
    struct Index {
        var name: String
        var isUnique: Bool
        /// Whether the replica identity goes by it: that one is a key.
        var isIdentity: Bool
        /// What follows the table's name, from `USING` on; `nil` where it cannot be told.
        var tail: String?
    }

    struct Constraint {
        @ExactText var name: String
        /// `pg_constraint.contype`: u, x, c or f.
        var kind: String
        /// Whether its index is the one that the replica identity goes by.
        var isIdentity: Bool
        var definition: String
        /// The table that a foreign key refers to, otherwise 0.
        var referred: UInt32
        /// How a foreign key's definition begins, up to the table's name.
        var head: String
        /// That name as it stands there.
        var referredName: String
    }

    var indexes: [Index] = []
    var constraints: [Constraint] = []
}

extension TableMaker {
    /// What there is to make, in the order of making, and why something is not.
    struct IndexPlan {
        fileprivate var rows: [TargetStatement] = []
        fileprivate var foreignKeys: [TargetStatement] = []
        fileprivate(set) var notices: [String] = []
        fileprivate var taken: TakenNames

        fileprivate init(taken: TakenNames) {
            self.taken = taken
        }

        /// Foreign keys last: each needs the index of the table that it refers to.
        var statements: [TargetStatement] { rows + foreignKeys }
    }

    /// The indexes and constraints that the named tables of the target lack; blocks.
    ///
    /// Foreign keys only between tables that are both taken, and only where `skipsTriggers` says
    /// that they rest in our own sessions: changes come one table after the other.
    func indexPlan(
        for tables: some Sequence<TableName>,
        skipsTriggers: Bool,
        source connection: borrowing Connection,
        target: borrowing Connection
    ) throws(WalrelayError) -> IndexPlan {
        let definitions = definitions(of: Set(tables))
        let wanted = try Asking.source("reading indexes") { () throws(PostgresError) in
            try Definitions.read(of: definitions.map(\.relation.oid), on: connection)
        }
        let names = definitions.flatMap { table -> [TableName] in
            let found = wanted[table.relation.oid] ?? Definitions()
            return (found.indexes.map(\.name) + found.constraints.map(\.name))
                .map { TableName(schema: self.target(of: table).schema, name: $0) }
        }
        let (oids, there, taken) = try Asking.target("looking for indexes") {
            () throws(PostgresError) in
            let oids = try TargetCatalog.oids(of: definitions.map(self.target(of:)), on: target)
            return (
                oids, try Definitions.read(of: oids.values, on: target),
                try TakenNames(among: names, on: target)
            )
        }
        var plan = IndexPlan(taken: taken)
        for table in definitions {
            let name = self.target(of: table)
            guard let oid = oids[name], let found = wanted[table.relation.oid] else { continue }
            let existing = there[oid] ?? Definitions()
            plan.add(found.indexes, of: name, existing: existing)
            plan.add(found.constraints, of: name, existing: existing)
            for key in found.constraints where key.kind == "f" {
                guard skipsTriggers, let referred = source.tables[key.referred] else {
                    let reason =
                        skipsTriggers
                        ? "\(key.referredName) is none of the tables that are copied with it"
                        : "the role may not set session_replication_role"
                    plan.notices.append("foreign key \(key.name) of \(name) is left out: \(reason)")
                    continue
                }
                plan.add(key, of: name, to: self.target(of: referred), existing: existing)
            }
        }
        return plan
    }

    /// Makes indexes and constraints, each in a transaction of its own, and returns notices.
    ///
    /// What the target refuses (a function or an operator class that it lacks) is left out: the
    /// rows are whole without it. Blocks for as long as the server builds them.
    static func makeIndexes(
        _ plan: IndexPlan,
        on target: borrowing Connection
    ) throws(WalrelayError) -> [String] {
        var notices = plan.notices
        for statement in plan.statements {
            do {
                try target.query(statement.sql, within: Connection.statementLimit)
            } catch {
                guard error.kind == .server, !TargetErrors.isTransient(error) else {
                    throw TargetErrors.error(error, while: "making \(statement.what)")
                }
                notices.append("\(statement.what) is left out: \(error)")
            }
        }
        return notices
    }
}

extension TableMaker.IndexPlan {
    fileprivate mutating func add(
        _ indexes: [Definitions.Index],
        of table: TableName,
        existing: Definitions
    ) {
        for index in indexes where !index.isIdentity {
            let what = "index \(index.name) of \(table)"
            guard let tail = index.tail else {
                notices.append("\(what) is left out: its definition cannot be read")
                continue
            }
            let isThere = existing.indexes.contains {
                $0.tail == tail && $0.isUnique == index.isUnique
            }
            guard !isThere else { continue }
            let name = taken.take(index.name, in: table.schema)
            let sql =
                "CREATE \(index.isUnique ? "UNIQUE " : "")INDEX \(name)ON \(table.sql) \(tail)"
            rows.append(TargetStatement(table: table, what: what, sql: sql))
        }
    }

    fileprivate mutating func add(
        _ constraints: [Definitions.Constraint],
        of table: TableName,
        existing: Definitions
    ) {
        for constraint in constraints where constraint.kind != "f" && !constraint.isIdentity {
            let isThere = existing.constraints.contains { $0.definition == constraint.definition }
            guard !isThere else { continue }
            // A check has no index, whose name another table could have taken.
            let name =
                constraint.kind == "c"
                ? "CONSTRAINT \(SQL.identifier(constraint.name)) "
                : taken.take(constraint.name, in: table.schema, prefix: "CONSTRAINT ")
            rows.append(
                TargetStatement(
                    table: table,
                    what: "constraint \(constraint.name) of \(table)",
                    sql: "ALTER TABLE \(table.sql) ADD \(name)\(constraint.definition)"
                )
            )
        }
    }

    fileprivate mutating func add(
        _ key: Definitions.Constraint,
        of table: TableName,
        to referred: TableName,
        existing: Definitions
    ) {
        let what = "foreign key \(key.name) of \(table)"
        let head = key.head + key.referredName
        guard key.definition.hasPrefix(head) else {
            notices.append("\(what) is left out: its definition cannot be read")
            return
        }
        let definition = key.head + referred.sql + key.definition.dropFirst(head.count)
        guard !existing.constraints.contains(where: { $0.kind == "f" && $0.$name == key.$name })
        else { return }
        let name = SQL.identifier(key.name)
        foreignKeys.append(
            TargetStatement(
                table: table,
                what: what,
                sql: "ALTER TABLE \(table.sql) ADD CONSTRAINT \(name) \(definition)"
            )
        )
    }
}

extension Definitions {
    /// By the tables' OIDs, without the primary key; blocks.
    fileprivate static func read(
        of tables: some Sequence<UInt32>,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [UInt32: Definitions] {
        var result: [UInt32: Definitions] = [:]
        for list in Listing.oids(tables) {
            try readIndexes(of: list, into: &result, on: connection)
            try readConstraints(of: list, into: &result, on: connection)
        }
        return result
    }

    /// The definition's head is put together as the server does it, so that a name that looks
    /// like a part of it misleads nobody.
    private static func readIndexes(
        of list: String,
        into result: inout [UInt32: Definitions],
        on connection: borrowing Connection
    ) throws(PostgresError) {
        let rows = try connection.query(
            """
            SELECT i.indrelid, c.relname, i.indisunique, i.indisreplident, \
            pg_catalog.pg_get_indexdef(i.indexrelid), 'CREATE ' \
            || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX ' \
            || pg_catalog.quote_ident(c.relname) || ' ON ' \
            || CASE WHEN c.relkind = 'I' THEN 'ONLY ' ELSE '' END \
            || pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.relname) || ' ' \
            FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
            JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
            JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
            WHERE i.indrelid IN (\(list)) AND i.indisvalid AND NOT i.indisprimary \
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = i.indrelid \
            AND k.conindid = i.indexrelid AND k.contype IN ('u', 'x')) \
            ORDER BY i.indrelid, i.indexrelid
            """
        )
        for row in 0..<rows.count {
            let definition = rows.text(row, 4)
            let head = rows.text(row, 5)
            result[rows.oid(row, 0), default: Definitions()].indexes.append(
                Index(
                    name: rows.text(row, 1),
                    isUnique: rows.flag(row, 2),
                    isIdentity: rows.flag(row, 3),
                    tail: definition.hasPrefix(head)
                        ? String(definition.dropFirst(head.count)) : nil
                )
            )
        }
    }

    private static func readConstraints(
        of list: String,
        into result: inout [UInt32: Definitions],
        on connection: borrowing Connection
    ) throws(PostgresError) {
        let rows = try connection.query(
            """
            SELECT k.conrelid, k.conname, k.contype, pg_catalog.pg_get_constraintdef(k.oid), \
            k.confrelid, 'FOREIGN KEY (' || (SELECT pg_catalog.string_agg( \
            pg_catalog.quote_ident(a.attname), ', ' ORDER BY u.place) \
            FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u (number, place) \
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number) \
            || ') REFERENCES ', \
            pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(f.relname), \
            k.contype = 'u' AND EXISTS (SELECT FROM pg_catalog.pg_index i \
            WHERE i.indexrelid = k.conindid AND i.indisreplident) \
            FROM pg_catalog.pg_constraint k \
            LEFT JOIN pg_catalog.pg_class f ON f.oid = k.confrelid \
            LEFT JOIN pg_catalog.pg_namespace n ON n.oid = f.relnamespace \
            WHERE k.conrelid IN (\(list)) AND k.contype IN ('u', 'x', 'c', 'f') \
            ORDER BY k.conrelid, k.contype = 'c', k.oid
            """
        )
        for row in 0..<rows.count {
            result[rows.oid(row, 0), default: Definitions()].constraints.append(
                Constraint(
                    name: rows.text(row, 1),
                    kind: rows.text(row, 2),
                    isIdentity: rows.flag(row, 7),
                    definition: rows.text(row, 3),
                    referred: rows.oid(row, 4),
                    head: rows.text(row, 5),
                    referredName: rows.text(row, 6)
                )
            )
        }
    }
}
