// SPDX-License-Identifier: Apache-2.0
//
// One table of the target against one of the source.

import ChangeModel
import LibPQ

/// A table that exists on the target, and the relation that will be written to it.
struct TableComparison {
    let relation: Relation
    /// `nil` where the source has the table no more.
    let definition: TableDefinition?
    let server: TargetServer
    let there: TargetFacts
    let columns: [CatalogColumn]
    let indexes: [UniqueIndex]
    let types: TargetTypes
    let fit: TypeFit
    let mayLackKey: Bool

    /// What does not fit and what may cause trouble; one `ok` where nothing failed.
    func findings() -> [Finding] {
        guard there.kind == "r" || there.kind == "p" else { return [kindFinding] }
        let findings = accessFindings() + columnFindings() + keyFindings() + actFindings()
        guard !findings.contains(where: { $0.level == .failed }) else { return findings }
        var text = "takes every row"
        if !keyColumns.isEmpty { text += "; its key is (\(keyColumns.joined(separator: ", ")))" }
        // No fault: whoever gives a task no more than it needs adds columns himself.
        if !there.isOwned { text += "; \(there.owner) adds the columns that the source gets" }
        return findings + [finding("target.table", .ok, text)]
    }

    private var sql: String { there.name.sql }

    private func finding(
        _ id: String,
        _ level: Finding.Level,
        _ found: String,
        mend: String = "",
        column: String? = nil
    ) -> Finding {
        let subject = column.map { "\(there.name).\($0)" } ?? "\(there.name)"
        return Finding(id, level, subject: subject, found: found, mend: mend)
    }

    // MARK: Kind and access

    private var kindFinding: Finding {
        let kinds = [
            "v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence",
            "i": "an index", "I": "an index", "c": "a row type",
        ]
        return finding(
            "target.kind",
            .failed,
            "is \(kinds[there.kind] ?? "of kind \(there.kind)"), not a table",
            mend: "rename it, or give the table another `target` in tables.include"
        )
    }

    private func accessFindings() -> [Finding] {
        var findings: [Finding] = []
        let role = SQL.shown(server.role)
        if !there.mayUseSchema {
            findings.append(
                finding(
                    "target.schema_privileges",
                    .failed,
                    "role \(server.role) may not use the schema",
                    mend: "GRANT USAGE ON SCHEMA \(SQL.shown(there.name.schema)) TO \(role);"
                )
            )
        }
        if !there.lackingPrivileges.isEmpty {
            let list = there.lackingPrivileges.joined(separator: ", ")
            findings.append(
                finding(
                    "target.privileges",
                    .failed,
                    "role \(server.role) lacks \(list)",
                    mend: "GRANT \(list) ON TABLE \(sql) TO \(role);"
                )
            )
        }
        if there.isRowSecured {
            findings.append(
                finding(
                    "target.row_security",
                    .failed,
                    "row level security would hide rows from role \(server.role) or refuse them",
                    mend: "ALTER TABLE \(sql) DISABLE ROW LEVEL SECURITY; "
                        + "-- or ALTER ROLE \(role) BYPASSRLS"
                )
            )
        }
        if there.isUnlogged {
            findings.append(
                finding(
                    "target.unlogged",
                    .failed,
                    "is unlogged: a crash of the target would empty it behind the checkpoint's back",
                    mend: "ALTER TABLE \(sql) SET LOGGED;"
                )
            )
        }
        return findings
    }

    // MARK: Columns

    private func columnFindings() -> [Finding] {
        let byName = Dictionary(
            columns.map { ($0.$name, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        let required = Set(exactly: definition?.columns.filter(\.isRequired).map(\.name) ?? [])
        let published = relation.columns.flatMap { column in
            guard let there = byName[column.$name] else {
                let type = types.sql(TypeUse(column))
                return [
                    finding(
                        "target.column_missing",
                        .failed,
                        "does not exist",
                        mend: types.preparation(for: [TypeUse(column)])
                            + "ALTER TABLE \(sql) ADD COLUMN "
                            + "\(SQL.shown(column.name)) \(type);",
                        column: column.name
                    )
                ]
            }
            return publishedFindings(column, there, mayBeNull: !required.contains(column.name))
        }
        let names = Set(relation.columns.map(\.$name))
        return published + columns.filter { !names.contains($0.$name) }.flatMap(extraFindings)
    }

    private func publishedFindings(
        _ column: Column,
        _ there: CatalogColumn,
        mayBeNull: Bool
    ) -> [Finding] {
        let alter = "ALTER TABLE \(sql) ALTER COLUMN \(SQL.shown(there.name))"
        var findings: [Finding] = []
        if let fault = fit.fault(TypeUse(column), there.type) {
            findings.append(
                finding(
                    "target.column_type",
                    .failed,
                    fault,
                    mend: types.preparation(for: [TypeUse(column)])
                        + "\(alter) TYPE \(types.sql(TypeUse(column)));",
                    column: column.name
                )
            )
        }
        if there.isGenerated {
            findings.append(
                finding(
                    "target.column_generated",
                    .failed,
                    "is generated, and the source sends values for it",
                    mend: server.version >= 130_000 && there.generated == "s"
                        ? "\(alter) DROP EXPRESSION;" : "make it a plain column",
                    column: column.name
                )
            )
        }
        if there.identity == "a", !keyColumns.contains(column.name) {
            // COPY and INSERT override it, UPDATE cannot: the server knows no such clause there.
            // A key is never set by an UPDATE: a row with another key is another row.
            findings.append(
                finding(
                    "target.identity_always",
                    .failed,
                    "is GENERATED ALWAYS AS IDENTITY, which no UPDATE can write",
                    mend: "\(alter) SET GENERATED BY DEFAULT;",
                    column: column.name
                )
            )
        }
        if there.isRequired, mayBeNull, !there.isGenerated {
            let isPrimary = indexes.contains { $0.isPrimary && $0.columns.contains(there.name) }
            findings.append(
                finding(
                    "target.not_null",
                    .failed,
                    isPrimary
                        ? "belongs to the primary key, and may be NULL at the source"
                        : "is NOT NULL, and may be NULL at the source",
                    mend: isPrimary ? "" : "\(alter) DROP NOT NULL;",
                    column: column.name
                )
            )
        }
        return findings
    }

    private func extraFindings(_ there: CatalogColumn) -> [Finding] {
        guard !there.isGenerated else { return [] }
        if definition?.generated.contains(where: { $0.name == there.name }) == true {
            return [
                finding(
                    "target.computed_plain",
                    .warning,
                    "is generated at the source, whose stream does not bring it: it stays NULL",
                    mend: "drop it, or make it GENERATED ALWAYS AS (…) STORED as at the source",
                    column: there.name
                )
            ]
        }
        guard there.isRequired, there.identity.isEmpty, there.expression == nil else { return [] }
        return [
            finding(
                "target.column_extra",
                .failed,
                "is NOT NULL without a default, and the source has no such column",
                mend: "ALTER TABLE \(sql) ALTER COLUMN \(SQL.shown(there.name)) "
                    + "DROP NOT NULL;",
                column: there.name
            )
        ]
    }

    // MARK: Key

    private var keyColumns: [String] {
        let there = columns.map { column in
            (
                column.$name,
                TargetColumn(type: column.type, castType: "", isRequired: column.isRequired)
            )
        }
        return TargetTable.key(
            of: relation,
            columns: Dictionary(there, uniquingKeysWith: { first, _ in first }),
            indexes: indexes
        )
    }

    private func keyFindings() -> [Finding] {
        guard keyColumns.isEmpty, !mayLackKey else { return [] }
        switch relation.replicaIdentity {
        case .nothing: return []
        case .full:
            guard there.hasChildren || there.kind == "p" else { return [] }
            // A row's place (ctid) is only unique within one table.
            return [
                finding(
                    "target.partitioned_keyless",
                    .failed,
                    "has partitions or children and no key: one of several equal rows "
                        + "cannot be told from the others",
                    mend: "give it a primary key, or make it a plain table"
                )
            ]
        case .default, .index:
            let identity =
                definition?.identityColumns ?? relation.columns.filter(\.isKey).map(\.name)
            guard !identity.isEmpty else { return [] }
            let list = Listing.columns(identity)
            let mend =
                indexes.contains(where: \.isPrimary)
                ? "CREATE UNIQUE INDEX ON \(sql) (\(list));"
                : "ALTER TABLE \(sql) ADD PRIMARY KEY (\(list));"
            return [
                finding(
                    "target.key_missing",
                    .failed,
                    "has no valid unique index on exactly (\(identity.joined(separator: ", "))), "
                        + "by which the source names rows",
                    mend: mend
                )
            ]
        }
    }

    // MARK: What acts by itself

    private func actFindings() -> [Finding] {
        var findings: [Finding] = []
        if there.hasRules {
            findings.append(
                finding(
                    "target.rules",
                    .failed,
                    "has rewrite rules, which change what is written",
                    mend: "drop them: SELECT rulename FROM pg_rules WHERE schemaname = "
                        + "\(SQL.shownLiteral(there.name.schema)) AND tablename = "
                        + "\(SQL.shownLiteral(there.name.name));"
                )
            )
        }
        let active =
            server.canUseReplicaRole ? there.triggers.filter(\.firesForReplicas) : there.triggers
        for trigger in active {
            let name = SQL.shown(trigger.name)
            findings.append(
                server.canUseReplicaRole
                    ? finding(
                        "target.trigger",
                        .warning,
                        "trigger \(trigger.name) fires for replicated rows as well",
                        mend: "ALTER TABLE \(sql) ENABLE TRIGGER \(name);"
                    )
                    : finding(
                        "target.trigger",
                        .failed,
                        "trigger \(trigger.name) would fire: role \(server.role) may not set "
                            + "session_replication_role",
                        mend: server.replicaRoleMend(
                            otherwise: "ALTER TABLE \(sql) DISABLE TRIGGER \(name);"
                        )
                    )
            )
        }
        for key in server.canUseReplicaRole ? [] : there.foreignKeys {
            let name = SQL.shown(key.name)
            findings.append(
                finding(
                    "target.foreign_key",
                    .failed,
                    "foreign key \(key.name) of \(key.table) would be checked change by change: "
                        + "role \(server.role) may not set session_replication_role",
                    mend: server.replicaRoleMend(
                        otherwise: "ALTER TABLE \(key.table.sql) DROP CONSTRAINT \(name);"
                    )
                )
            )
        }
        return findings
    }
}
