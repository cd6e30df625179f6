// SPDX-License-Identifier: Apache-2.0
//
// Who runs the server, as far as it changes what an operator has to type: managed PostgreSQL has
// no ALTER SYSTEM and no superuser, but names of its own for the same things.

import LibPQ

/// Who runs the source's server.
enum Provider: String, Sendable, CaseIterable {
    case plain = "PostgreSQL"
    case rds = "Amazon RDS or Aurora"
    case cloudSQL = "Cloud SQL"
    case azure = "Azure Database for PostgreSQL"
    case supabase = "Supabase"

    /// The roles that only one provider's servers have.
    static let tellingRoles = [
        "supabase_admin", "rds_superuser", "rds_replication", "cloudsqlsuperuser",
        "azure_pg_admin",
    ]

    /// Tells the provider by the roles that exist.
    static func detect(roles: Set<String>) -> Provider {
        if roles.contains("supabase_admin") { return .supabase }
        if roles.contains("rds_superuser") || roles.contains("rds_replication") { return .rds }
        if roles.contains("cloudsqlsuperuser") { return .cloudSQL }
        if roles.contains("azure_pg_admin") { return .azure }
        return .plain
    }

    /// How a server setting is changed.
    ///
    /// On a plain server it is SQL that can be run as it stands; the rest is a comment. `value` is
    /// in the setting's base unit, which is all that consoles take; `spoken` is the same in words.
    func change(
        _ name: String,
        to value: String,
        spoken: String? = nil,
        needsRestart: Bool
    ) -> String {
        switch self {
        case .plain:
            let statement = "ALTER SYSTEM SET \(name) = \(SQL.shownLiteral(spoken ?? value));"
            return needsRestart
                ? "\(statement) -- then restart the server"
                : "\(statement) SELECT pg_reload_conf();"
        case .rds:
            let line =
                name == "wal_level" ? "rds.logical_replication = 1" : "\(name) = \(value)"
            return "set \(line) in the instance's or cluster's parameter group"
                + (needsRestart ? ", then reboot the instance" : "")
        case .cloudSQL:
            let line =
                name == "wal_level" ? "cloudsql.logical_decoding = on" : "\(name) = \(value)"
            return "set the instance's database flag \(line)"
                + (needsRestart ? " (restarts the instance)" : "")
        case .azure:
            return "az postgres flexible-server parameter set --resource-group GROUP "
                + "--server-name SERVER --name \(name) --value \(value)"
                + (needsRestart ? "; then restart the server" : "")
        case .supabase:
            return "supabase --experimental --project-ref PROJECT postgres-config update "
                + "--config \(name)=\(value)"
        }
    }

    /// How a role is allowed to replicate.
    func allowReplication(to role: String) -> String {
        switch self {
        case .plain, .azure, .supabase: "ALTER ROLE \(SQL.shown(role)) WITH REPLICATION;"
        case .rds: "GRANT rds_replication TO \(SQL.shown(role));"
        case .cloudSQL: "ALTER USER \(SQL.shown(role)) WITH REPLICATION;"
        }
    }
}
