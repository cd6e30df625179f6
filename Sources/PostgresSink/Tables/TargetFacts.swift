// SPDX-License-Identifier: Apache-2.0
//
// What the target's catalog says of tables that exist there, beside their columns.

import ChangeModel
import LibPQ

/// An entry of pg_class on the target.
struct TargetFacts: Sendable {
    /// Something that acts when rows are written.
    struct Trigger: Sendable {
        var name: String
        /// Whether it acts under session_replication_role = replica as well.
        var firesForReplicas: Bool
    }

    /// A foreign key from this table or to it.
    struct ForeignKey: Sendable {
        var name: String
        /// The table that it belongs to.
        var table: TableName
    }

    var oid: UInt32
    var name: TableName
    /// `pg_class.relkind`.
    var kind: String
    var isUnlogged: Bool
    /// Whether row level security restricts this role.
    var isRowSecured: Bool
    var hasRules: Bool
    /// Whether rows of it may lie in other tables: partitions, children.
    var hasChildren: Bool
    var owner: String
    var isOwned: Bool
    var mayUseSchema: Bool
    var lackingPrivileges: [String]
    var triggers: [Trigger] = []
    var foreignKeys: [ForeignKey] = []

    private static let privileges = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"]

    /// Reads what exists of the names; blocks.
    static func read(
        _ names: some Sequence<TableName>,
        on target: borrowing Connection
    ) throws(PostgresError) -> [TableName: TargetFacts] {
        let checks = privileges.map { "pg_catalog.has_table_privilege(c.oid, '\($0)')" }
        var found: [TableName: TargetFacts] = [:]
        for list in Listing.names(names) {
            let rows = try target.query(
                """
                SELECT n.nspname, c.relname, c.oid, c.relkind, c.relpersistence = 'u', \
                pg_catalog.row_security_active(c.oid), c.relhasrules, c.relhassubclass, \
                pg_catalog.pg_get_userbyid(c.relowner), \
                pg_catalog.pg_has_role(c.relowner, 'USAGE'), \
                pg_catalog.has_schema_privilege(n.oid, 'USAGE'), \(checks.joined(separator: ", ")) \
                FROM pg_catalog.pg_class c \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                WHERE (n.nspname, c.relname) IN (\(list))
                """
            )
            for row in 0..<rows.count {
                let name = TableName(schema: rows.text(row, 0), name: rows.text(row, 1))
                found[name] = TargetFacts(
                    oid: rows.oid(row, 2),
                    name: name,
                    kind: rows.text(row, 3),
                    isUnlogged: rows.flag(row, 4),
                    isRowSecured: rows.flag(row, 5),
                    hasRules: rows.flag(row, 6),
                    hasChildren: rows.flag(row, 7),
                    owner: rows.text(row, 8),
                    isOwned: rows.flag(row, 9),
                    mayUseSchema: rows.flag(row, 10),
                    lackingPrivileges: privileges.enumerated()
                        .filter { !rows.flag(row, 11 + $0.offset) }.map(\.element)
                )
            }
        }
        try readActs(into: &found, on: target)
        return found
    }

    private static func readActs(
        into found: inout [TableName: TargetFacts],
        on target: borrowing Connection
    ) throws(PostgresError) {
        let names = Dictionary(
            found.values.map { ($0.oid, $0.name) },
            uniquingKeysWith: { first, _ in first }
        )
        let enforced = target.serverVersion >= 180_000 ? "AND k.conenforced" : ""
        for list in Listing.oids(names.keys) {
            let triggers = try target.query(
                """
                SELECT tgrelid, tgname, tgenabled IN ('A', 'R') FROM pg_catalog.pg_trigger \
                WHERE tgrelid IN (\(list)) AND NOT tgisinternal AND tgenabled <> 'D' \
                ORDER BY tgrelid, tgname
                """
            )
            for row in 0..<triggers.count {
                guard let name = names[triggers.oid(row, 0)] else { continue }
                found[name]?.triggers.append(
                    Trigger(name: triggers.text(row, 1), firesForReplicas: triggers.flag(row, 2))
                )
            }
            let keys = try target.query(
                """
                SELECT k.conrelid, k.confrelid, k.conname, n.nspname, c.relname \
                FROM pg_catalog.pg_constraint k \
                JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                WHERE k.contype = 'f' \(enforced) \
                AND (k.conrelid IN (\(list)) OR k.confrelid IN (\(list))) \
                ORDER BY k.conrelid, k.conname
                """
            )
            for row in 0..<keys.count {
                let key = ForeignKey(
                    name: keys.text(row, 2),
                    table: TableName(schema: keys.text(row, 3), name: keys.text(row, 4))
                )
                // Once, and where it stands if that is a table of ours.
                guard let name = names[keys.oid(row, 0)] ?? names[keys.oid(row, 1)] else {
                    continue
                }
                found[name]?.foreignKeys.append(key)
            }
        }
    }
}
