// SPDX-License-Identifier: Apache-2.0
//
// Three views of a table are held against each other: what the caller looked up (before the
// snapshot), what the snapshot shows (plain queries of the catalog), and what the table is now
// (pg_relation_filenode and to_regclass read the newest catalog whatever the snapshot). The
// tables are locked while this runs, so "now" stays.

public import ChangeModel
public import LibPQ
import Replication

extension TableGuard {
    /// Facts about the tables that the copying needs.
    struct Findings {
        /// The tables, by index, of which a generated column is copied.
        var withGeneratedColumns: Set<Int> = []
    }

    /// Holds the locked tables against the snapshot of the connection's transaction; blocks.
    ///
    /// Throws `WalrelayError`, transient: `snapshot.table_rewritten`, `snapshot.table_changed`.
    public func verify(on connection: borrowing Connection) throws(WalrelayError) {
        _ = try findings(on: connection)
    }

    func findings(on connection: borrowing Connection) throws(WalrelayError) -> Findings {
        try verifyStorage(connection)
        try verifyLeaves(connection)
        return try verifyColumns(connection)
    }

    private func verifyStorage(_ connection: borrowing Connection) throws(WalrelayError) {
        let storage = tables.flatMap(\.source.storage)
        guard !storage.isEmpty else { return }
        let values = storage.map { storage in
            "(\(storage.oid)::oid, \(SQL.literal(SQL.identifier(storage.schema, storage.name))))"
        }
        let rows = try connection.query(
            """
            SELECT v.name, c.oid IS NOT NULL AND to_regclass(v.name)::oid IS NOT DISTINCT FROM v.oid,
                   c.relfilenode IS NOT DISTINCT FROM pg_relation_filenode(v.oid)
            FROM (VALUES \(values.joined(separator: ", "))) AS v (oid, name)
            LEFT JOIN pg_class c ON c.oid = v.oid
            """,
            while: .checking
        )
        for row in 0..<rows.count {
            guard rows.flag(row, 1) else {
                throw SnapshotFault.changed("\(rows.text(row, 0)) is not the table it was")
            }
            guard rows.flag(row, 2) else { throw SnapshotFault.rewritten(rows.text(row, 0)) }
        }
    }

    /// A partition that nobody listed would be missing without a word.
    private func verifyLeaves(_ connection: borrowing Connection) throws(WalrelayError) {
        let roots = tables.filter(\.source.isPartitioned)
        guard !roots.isEmpty else { return }
        let oids = roots.map { "(\($0.source.relation.oid)::oid)" }.joined(separator: ", ")
        let rows = try connection.query(
            """
            WITH RECURSIVE tree (root, oid) AS (
                SELECT v.oid, v.oid FROM (VALUES \(oids)) AS v (oid)
                UNION ALL
                SELECT tree.root, i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
            )
            SELECT tree.root, c.oid FROM tree JOIN pg_class c ON c.oid = tree.oid
            WHERE c.relkind = 'r'
            """,
            while: .checking
        )
        var leaves: [Int64: Set<Int64>] = [:]
        for row in 0..<rows.count {
            guard let root = rows.integer(row, 0), let leaf = rows.integer(row, 1) else { continue }
            leaves[root, default: []].insert(leaf)
        }
        for table in roots {
            let listed = Set(table.source.storage.map { Int64($0.oid) })
            guard leaves[Int64(table.source.relation.oid)] ?? [] == listed else {
                throw SnapshotFault.changed(
                    "\(table.source.relation.qualifiedName) has other partitions than it had"
                )
            }
        }
    }

    private func verifyColumns(
        _ connection: borrowing Connection
    ) throws(WalrelayError) -> Findings {
        var findings = Findings()
        guard !tables.isEmpty else { return findings }
        let oids = tables.map { "\($0.source.relation.oid)" }.joined(separator: ", ")
        let generated = connection.serverVersion >= 120_000 ? "a.attgenerated <> ''" : "false"
        let rows = try connection.query(
            """
            SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, \(generated)
            FROM pg_attribute a
            WHERE a.attrelid IN (\(oids)) AND a.attnum > 0 AND NOT a.attisdropped
            """,
            while: .checking
        )
        struct Found {
            var columns: [ExactText: (type: Int64?, modifier: Int64?, isGenerated: Bool)] = [:]
        }
        var found: [Int64: Found] = [:]
        for row in 0..<rows.count {
            guard let oid = rows.integer(row, 0) else { continue }
            found[oid, default: Found()].columns[ExactText(rows.text(row, 1))] = (
                rows.integer(row, 2), rows.integer(row, 3), rows.flag(row, 4)
            )
        }
        for (index, table) in tables.enumerated() {
            let relation = table.relation.relation
            var rest = found[Int64(table.source.relation.oid)]?.columns ?? [:]
            for column in relation.columns {
                let now = rest.removeValue(forKey: column.$name)
                guard let now, now.type == Int64(column.typeOID),
                    now.modifier == Int64(column.typeModifier)
                else { throw columnFault(column.name, of: relation) }
                if now.isGenerated { findings.withGeneratedColumns.insert(index) }
            }
            guard table.source.columnList == nil else { continue }
            if let added = rest.first(where: { !$0.value.isGenerated })?.key {
                throw columnFault(added.wrappedValue, of: relation)
            }
        }
        return findings
    }

    private func columnFault(_ column: String, of relation: Relation) -> WalrelayError {
        SnapshotFault.changed(
            "\(relation.qualifiedName) has changed since it was looked up: column \"\(column)\""
        )
    }
}
