// SPDX-License-Identifier: Apache-2.0
//
// The target's tables held against the source's before the first byte is written: everything that
// would stop the task later, or keep the two from being equal, told at once.

import ChangeModel
import LibPQ

/// What the target has to be able to take.
struct TableInspection: Sendable {
    var source: SourceDefinition
    /// The tables as they will be written; they stand in for those that the source has no more.
    var relations: [Relation]
    var naming: TableNaming
    /// Whether tables that are missing will be made.
    var createTables = true
    /// Tables of the target that a run of this task made and did not finish: they have no key yet.
    var unfinished: Set<TableName> = []

    /// Looks at the target, outside a transaction, and changes nothing; blocks.
    ///
    /// In the order in which things are best mended; a table that is as it has to be has an `ok`.
    func findings(on target: borrowing Connection) throws(WalrelayError) -> [Finding] {
        try Asking.target("looking at the tables") { () throws(PostgresError) in
            try look(on: target)
        }
    }

    private func look(on target: borrowing Connection) throws(PostgresError) -> [Finding] {
        let server = try TargetServer(on: target)
        let general = server.findings(sourceEncoding: source.encoding)
        guard server.version >= 100_000 else { return general }
        let names = relations.map { naming.target(of: $0) }
        let facts = try TargetFacts.read(names, on: target)
        let oids = facts.values.map(\.oid)
        let columns = try CatalogColumn.read(of: oids, on: target)
        let indexes = try UniqueIndex.read(of: oids, on: target)
        let uses = relations.flatMap { $0.columns.map { TypeUse($0) } }
        let types = try TargetTypes(of: uses, from: source.types, naming: naming, on: target)
        let thereTypes = try CatalogTypes(of: columns.values.joined().map(\.type), on: target)
        let missing = relations.filter { facts[naming.target(of: $0)] == nil }
        var findings =
            general
            + (try schemaFindings(missing: missing, types: types, server: server, on: target))
        let fit = TypeFit(source: source.types, target: thereTypes)
        var closed: Set<String> = []
        for relation in relations.sorted(by: { naming.target(of: $0) < naming.target(of: $1) }) {
            guard let there = facts[naming.target(of: relation)] else {
                findings.append(missingFinding(of: relation))
                continue
            }
            let table = TableComparison(
                relation: relation,
                definition: source.tables[relation.oid],
                server: server,
                there: there,
                columns: columns[there.oid] ?? [],
                indexes: indexes[there.oid] ?? [],
                types: types,
                fit: fit,
                mayLackKey: unfinished.contains(there.name)
            )
            // A schema is told once, however many tables of it are written.
            findings += table.findings().filter {
                $0.id != "target.schema_privileges" || closed.insert($0.mend).inserted
            }
        }
        return findings
    }

    private func missingFinding(of relation: Relation) -> Finding {
        let name = naming.target(of: relation)
        guard createTables else {
            return Finding(
                "target.table_missing",
                .failed,
                subject: "\(name)",
                found: "does not exist",
                mend: "make it, or set sink.postgresql.createTables: true"
            )
        }
        guard source.tables[relation.oid] != nil else {
            return Finding(
                "target.table_missing",
                .failed,
                subject: "\(name)",
                found: "does not exist, and the source has no \(relation.qualifiedName) any more",
                mend: "make it by hand, or take it out of tables.include"
            )
        }
        return Finding("target.table_new", .ok, subject: "\(name)", found: "will be made")
    }

    /// Whether what is missing can be made: the schemas, and walrelay's own.
    private func schemaFindings(
        missing: [Relation],
        types: TargetTypes,
        server: TargetServer,
        on target: borrowing Connection
    ) throws(PostgresError) -> [Finding] {
        var findings = try OwnTables.findings(on: target)
        var wanted: Set<ExactText> = [ExactText(CheckpointTable.schema)]
        if createTables, !missing.isEmpty {
            wanted.formUnion(missing.map { naming.target(of: $0).$schema })
            wanted.formUnion(types.missingSchemas)
            findings += types.findings
            findings += types.notices.map {
                Finding("target.type_text", .warning, subject: "types", found: $0)
            }
        }
        let rows = try target.query(
            """
            SELECT nspname, pg_catalog.has_schema_privilege(oid, 'CREATE') \
            AND pg_catalog.has_schema_privilege(oid, 'USAGE') FROM pg_catalog.pg_namespace \
            WHERE nspname IN (\(SQL.literals(wanted.sorted().map(\.wrappedValue))))
            """
        )
        let role = SQL.shown(server.role)
        for row in 0..<rows.count {
            let schema = rows.text(row, 0)
            wanted.remove(ExactText(schema))
            guard !rows.flag(row, 1), schema != CheckpointTable.schema else { continue }
            findings.append(
                Finding(
                    "target.schema_privileges",
                    .failed,
                    subject: "schema \(schema)",
                    found: "role \(server.role) may not make tables in it",
                    mend: "GRANT USAGE, CREATE ON SCHEMA \(SQL.shown(schema)) TO \(role);"
                )
            )
        }
        if !wanted.isEmpty, !server.canCreateSchemas {
            findings.append(
                Finding(
                    "target.database_privileges",
                    .failed,
                    subject: "database \(server.database)",
                    found: "role \(server.role) may not make the schemas "
                        + Prose.list(wanted.sorted().map(\.wrappedValue)),
                    mend: "GRANT CREATE ON DATABASE \(SQL.shown(server.database)) TO \(role);"
                )
            )
        }
        return findings
    }
}
