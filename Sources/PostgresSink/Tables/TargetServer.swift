// SPDX-License-Identifier: Apache-2.0
//
// The target's server, database and role, as far as they decide what can be written there.

import ChangeModel
import LibPQ

/// What the target says of itself.
struct TargetServer: Sendable {
    /// As libpq gives it: 150018 for 15.18.
    var version: Int
    var isStandby: Bool
    var encoding: String
    var database: String
    var role: String
    /// Whether the role may make schemas in the database.
    var canCreateSchemas: Bool
    /// Whether the role may have triggers and foreign keys rest, by session_replication_role.
    var canUseReplicaRole: Bool

    /// Asks the server, outside a transaction; blocks.
    ///
    /// The session is left as it was.
    init(on target: borrowing Connection) throws(PostgresError) {
        let row = try target.query(
            """
            SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.getdatabaseencoding(), \
            pg_catalog.current_database(), current_user, \
            pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'), \
            pg_catalog.current_setting('session_replication_role')
            """
        )
        version = target.serverVersion
        isStandby = row.flag(0, 0)
        encoding = row.text(0, 1)
        database = row.text(0, 2)
        role = row.text(0, 3)
        canCreateSchemas = row.flag(0, 4)
        canUseReplicaRole = true
        // Providers let roles set it by means of their own: only trying tells.
        guard row.text(0, 5) != "replica" else { return }
        do {
            try target.query("SET session_replication_role = replica")
            try target.query("SET session_replication_role = \(SQL.literal(row.text(0, 5)))")
        } catch {
            guard error.sqlState == "42501" else { throw error }
            canUseReplicaRole = false
        }
    }

    /// What stands against writing to this server at all.
    func findings(sourceEncoding: String) -> [Finding] {
        var findings: [Finding] = []
        if version < 100_000 {
            findings.append(
                Finding(
                    "target.version",
                    .failed,
                    subject: "target",
                    found: "is PostgreSQL \(version / 10_000).\(version / 100 % 100); "
                        + "10 or later is needed",
                    mend: "upgrade the target"
                )
            )
        }
        if isStandby {
            findings.append(
                Finding(
                    "target.standby",
                    .failed,
                    subject: "target",
                    found: "is a standby, which takes no writes",
                    mend: "name the primary in sink.postgresql.host, or promote this one"
                )
            )
        }
        if encoding != sourceEncoding, encoding != "UTF8" {
            findings.append(
                Finding(
                    "target.encoding",
                    .warning,
                    subject: "database \(database)",
                    found: "has the encoding \(encoding), the source \(sourceEncoding): "
                        + "a character that it lacks stops the task",
                    mend: "make the target's database with ENCODING 'UTF8'"
                )
            )
        }
        return findings
    }

    /// How the role gets triggers and foreign keys to rest; `otherwise` before 15.
    func replicaRoleMend(otherwise: String) -> String {
        version >= 150_000
            ? "GRANT SET ON PARAMETER session_replication_role TO \(SQL.shown(role));"
            : otherwise
    }
}
