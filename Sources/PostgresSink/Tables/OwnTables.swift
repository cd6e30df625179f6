// SPDX-License-Identifier: Apache-2.0
//
// Whether the role may use walrelay's own schema and tables where they are there already: made by
// an earlier run, or beforehand by somebody who does not want the role to make schemas.

import ChangeModel
import LibPQ

/// The rights on walrelay's own tables.
enum OwnTables {
    /// What each is used for.
    private static let privileges = [
        ("checkpoint", ["SELECT", "INSERT", "UPDATE", "DELETE"]),
        ("claim", ["SELECT", "INSERT", "UPDATE", "DELETE"]), ("dead_letter", ["INSERT"]),
        // UPDATE: a lane holds the row that says that its copy is the last one.
        ("copied", ["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ]

    /// What a version before this one has not made, and only a snapshot needs.
    private static let later: Set<String> = ["copied"]

    /// What is lacking; empty also where there is no such schema yet.
    ///
    /// Blocks.
    static func findings(on target: borrowing Connection) throws(PostgresError) -> [Finding] {
        let schema = SQL.literal(CheckpointTable.schema)
        let rights = try target.query(
            """
            SELECT current_user, pg_catalog.has_schema_privilege(oid, 'USAGE'), \
            pg_catalog.has_schema_privilege(oid, 'CREATE') \
            FROM pg_catalog.pg_namespace WHERE nspname = \(schema)
            """
        )
        guard rights.count == 1 else { return [] }
        let role = rights.text(0, 0)
        let asked = privileges.map { table, privileges in
            let lacking = privileges.map {
                "CASE WHEN NOT pg_catalog.has_table_privilege(c.oid, '\($0)') THEN '\($0)' END"
            }
            return """
                SELECT \(SQL.literal(table)), c.oid IS NOT NULL, \
                pg_catalog.concat_ws(', ', \(lacking.joined(separator: ", "))) \
                FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_class c \
                ON c.relnamespace = n.oid AND c.relname = \(SQL.literal(table)) \
                WHERE n.nspname = \(schema)
                """
        }
        let tables = try target.query(asked.joined(separator: " UNION ALL "))
        let all = 0..<tables.count
        let mayMake =
            rights.flag(0, 2)
            || all.allSatisfy { tables.flag($0, 1) || later.contains(tables.text($0, 0)) }
        let lacking = (rights.flag(0, 1) ? [] : ["USAGE"]) + (mayMake ? [] : ["CREATE"])
        var findings: [Finding] = []
        if !lacking.isEmpty {
            findings.append(
                Finding(
                    "target.schema_privileges",
                    .failed,
                    subject: "schema \(CheckpointTable.schema)",
                    found: "role \(role) lacks \(lacking.joined(separator: ", "))",
                    mend: "GRANT \(lacking.joined(separator: ", ")) ON SCHEMA "
                        + "\(SQL.identifier(CheckpointTable.schema)) TO \(SQL.identifier(role));"
                )
            )
        }
        for row in all where tables.flag(row, 1) && !tables.text(row, 2).isEmpty {
            let name = TableName(schema: CheckpointTable.schema, name: tables.text(row, 0))
            findings.append(
                Finding(
                    "target.privileges",
                    .failed,
                    subject: "\(name)",
                    found: "role \(role) lacks \(tables.text(row, 2))",
                    mend: "GRANT \(tables.text(row, 2)) ON TABLE \(name.sql) TO "
                        + "\(SQL.identifier(role));"
                )
            )
        }
        return findings
    }
}
