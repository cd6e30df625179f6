// SPDX-License-Identifier: Apache-2.0
//
// Rows that tables of the target hold before theirs are copied: refused, taken away or merged into,
// as the settings say. Those that this task has written are its own to take away; to be merged into,
// they too need a key, or each of them would stand twice.

import ChangeModel
import LibPQ
import Logging

/// What becomes of the rows that tables hold.
struct FilledTables {
    let options: PostgresSinkOptions
    let naming: TableNaming
    let claims: TableClaims

    /// Throws `sink.table_not_empty` where rows of a copy would meet rows that the settings do not
    /// allow for; changes nothing.
    func refuse(_ relations: [Relation], on target: borrowing Connection) throws {
        guard options.ifNotEmpty != .truncate else { return }
        let filled = try names(relations, on: target)
        let foreign = filled.filter { claims.own[$0] == nil }
        if options.ifNotEmpty == .refuse, !foreign.isEmpty {
            throw WalrelayError(
                "sink.table_not_empty",
                exit: .prerequisite,
                "Tables of the target hold rows already: \(Prose.list(foreign.map(\.description)))",
                hint: "empty them, or set sink.postgresql.ifNotEmpty to truncate, "
                    + "or to merge (rows with the same key are overwritten)"
            )
        }
        guard options.ifNotEmpty == .merge, !filled.isEmpty else { return }
        let keyless = try TargetTable.read(
            relations.filter { filled.contains(naming.target(of: $0)) }
                .map(TargetTables.version),
            naming: naming,
            on: target
        ).filter(\.key.isEmpty)
        guard keyless.isEmpty else {
            let names = keyless.map { "\($0.schema).\($0.name)" }
            throw WalrelayError(
                "sink.table_not_empty",
                exit: .prerequisite,
                "Tables of the target hold rows already and have no key to merge by: "
                    + Prose.list(names),
                hint: "empty them, or set sink.postgresql.ifNotEmpty to truncate"
            )
        }
    }

    /// Takes away all rows of tables of which nothing that is there counts, in the caller's
    /// transaction.
    func empty(_ relations: [Relation], on session: TargetSession, _ lock: TableLock) throws {
        let filled = try names(relations, on: session.connection)
        guard !filled.isEmpty else { return }
        // All of these, since an empty one may refer to one that is not.
        let all = try TargetCatalog.existing(
            relations.map(naming.target(of:)),
            on: session.connection
        ).sorted()
        lock.log.notice("emptying \(Prose.list(filled.map(\.description))) on the target")
        try lock.run(all, on: session.connection) {
            let list = all.map(\.sql).joined(separator: ", ")
            guard let refusal = try session.connection.attempt("TRUNCATE \(list)") else { return }
            // A table that keeps its rows refers to one of these (feature_not_supported). Foreign
            // keys rest in this session, so rows can go and nothing follows them.
            guard refusal.sqlState == "0A000", session.rights.skipsTriggers else { throw refusal }
            for name in filled {
                try session.connection.query(
                    "DELETE FROM \(name.sql)",
                    within: TargetTables.longLimit
                )
            }
        }
    }

    /// The target tables of these relations that exist and are not empty, in order.
    private func names(
        _ relations: [Relation],
        on target: borrowing Connection
    ) throws -> [TableName] {
        let names = relations.map(naming.target(of:))
        let existing = try TargetCatalog.existing(names, on: target)
        return try existing.sorted().filter { name in
            try target.query("SELECT EXISTS (SELECT 1 FROM \(name.sql))").flag(0, 0)
        }
    }
}
