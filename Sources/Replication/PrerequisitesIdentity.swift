// SPDX-License-Identifier: Apache-2.0
//
// A published table whose rows have no identity makes the application's own UPDATE and DELETE
// fail; so does a column list or a row filter that does not go with the identity, and on 18 an
// identity with generated columns. All of that is found before anything is published. The server
// judges a partition by its own identity, so each leaf is looked at as well as the root.

import ChangeModel
import LibPQ

/// The replica identities of the tables that a task takes.
struct IdentityCheck: Sendable {
    private let source: CheckedSource
    private let columns: TableColumns
    private let keys: TableKeys

    init(_ source: CheckedSource, on connection: borrowing Connection) throws(PostgresError) {
        self.source = source
        let oids = Set(source.tables.flatMap { [$0.relation.oid] + $0.storage.map(\.oid) })
        columns = try TableColumns(of: oids.sorted(), on: connection)
        keys = try TableKeys(of: oids.sorted(), on: connection)
    }

    /// What the table's rows are told apart by, for people.
    func text(of table: SourceTable) -> String {
        let names = table.relation.columns.filter(\.isKey).map(\.name).joined(separator: ", ")
        return switch table.relation.replicaIdentity {
        case .full: "identity: the whole row"
        case .default, .index: "identity: \(names)"
        case .nothing: "no identity"
        }
    }

    func findings(
        of table: SourceTable,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [Finding] {
        var oids = [table.relation.oid]
        oids += table.storage.map(\.oid).filter { $0 != table.relation.oid }
        let relations = oids.compactMap { source.listing.relation($0) }
        var findings = relations.compactMap { missing($0) }
        findings += relations.compactMap { generated($0) }
        if let finding = newPartitions(of: table, relations) { findings.append(finding) }
        guard findings.allSatisfy({ $0.level != .failed }) else { return findings }
        findings += columnList(of: table, relations)
        return try findings + filter(of: table, relations, on: connection)
    }

    private func identityNames(of relation: CatalogRelation) -> [String] {
        let numbers = keys.identityColumns(of: relation, serverVersion: source.facts.version)
        return columns.of(relation.oid).filter { numbers.contains($0.number) }.map(\.name)
    }

    // MARK: Identity

    private func missing(_ relation: CatalogRelation) -> Finding? {
        guard relation.replicaIdentity != .full,
            keys.identityKey(of: relation, serverVersion: source.facts.version) == nil
        else { return nil }
        let primary = keys.of(relation.oid).first(where: \.isPrimary)
        let id: String
        let found: String
        switch relation.replicaIdentity {
        case .nothing:
            id = "table.identity_nothing"
            found = "has REPLICA IDENTITY NOTHING"
        case .index:
            id = "table.identity_index_lost"
            found = "has REPLICA IDENTITY USING INDEX, and the index is gone or not valid"
        default:
            id = primary == nil ? "table.identity_missing" : "table.identity_deferrable"
            found =
                primary == nil
                ? "has no primary key and is not REPLICA IDENTITY FULL"
                : primary?.isImmediate == false
                    ? "has a DEFERRABLE primary key, which is no replica identity"
                    : "has a primary key that is not valid yet"
        }
        return Finding(
            id,
            .failed,
            subject: relation.qualifiedName,
            found: "\(found): once published, the application's UPDATE and DELETE would fail",
            mend: identityStatement(relation)
        )
    }

    /// The cheapest identity that the table can have.
    private func identityStatement(_ relation: CatalogRelation) -> String {
        let required = Set(columns.of(relation.oid).filter(\.isRequired).map(\.number))
        let alter = "ALTER TABLE \(SQL.shown(relation.schema, relation.name)) REPLICA IDENTITY"
        let usable = keys.of(relation.oid).filter { key in
            key.isImmediate && key.isValid && key.isPlain
                && key.columns.allSatisfy { required.contains($0) }
        }
        if usable.contains(where: \.isPrimary) { return "\(alter) DEFAULT;" }
        if let index = usable.first { return "\(alter) USING INDEX \(SQL.shown(index.name));" }
        return "\(alter) FULL;"
    }

    /// Generated columns are not published, so an identity must do without them.
    private func generated(_ relation: CatalogRelation) -> Finding? {
        let generated = columns.of(relation.oid).filter(\.isGenerated)
        let identity = keys.identityColumns(of: relation, serverVersion: source.facts.version)
        let isFull = relation.replicaIdentity == .full
        // Up to 17 FULL simply leaves them out; from 18 on the server refuses the UPDATE.
        let bad = generated.filter {
            identity.contains($0.number) || (isFull && source.facts.version >= 180_000)
        }
        guard !bad.isEmpty else { return nil }
        return Finding(
            "table.identity_generated",
            .failed,
            subject: relation.qualifiedName,
            found: "its replica identity holds generated columns, which are not published: "
                + Prose.list(bad.map(\.name)),
            mend: isFull
                ? "give it a primary key of other columns; then ALTER TABLE "
                    + "\(SQL.shown(relation.schema, relation.name)) REPLICA IDENTITY DEFAULT;"
                : "ALTER TABLE \(SQL.shown(relation.schema, relation.name)) REPLICA IDENTITY "
                    + "USING INDEX …; with a unique index of other columns"
        )
    }

    /// A new partition takes over the root's primary key, and never REPLICA IDENTITY FULL.
    private func newPartitions(of table: SourceTable, _ relations: [CatalogRelation]) -> Finding? {
        guard table.isPartitioned, relations.first?.replicaIdentity != .default,
            keys.primaryKey(of: table.relation.oid).isEmpty
        else { return nil }
        return Finding(
            "table.identity_new_partitions",
            .warning,
            subject: table.relation.qualifiedName,
            found: "has no primary key: UPDATE and DELETE will fail in each new partition until "
                + "it has a replica identity of its own",
            mend: "after each CREATE TABLE … PARTITION OF: ALTER TABLE … REPLICA IDENTITY FULL;"
        )
    }

    // MARK: Column list

    private func columnList(of table: SourceTable, _ relations: [CatalogRelation]) -> [Finding] {
        guard let wanted = table.columnList else { return [] }
        let subject = table.relation.qualifiedName
        func failed(_ id: String, _ found: String, _ mend: String) -> [Finding] {
            [Finding(id, .failed, subject: subject, found: found, mend: mend)]
        }
        guard source.facts.version >= 150_000 else {
            return failed(
                "table.columns_unsupported",
                "the server knows column lists from 15 on",
                "take columns out of the table's settings, or upgrade the server"
            )
        }
        let all = columns.of(table.relation.oid)
        let known = Set(exactly: all.map(\.name))
        let unknown = wanted.filter { !known.contains($0) }
        if let name = unknown.first {
            let nearest = Prose.nearest(to: name, among: all.map(\.name)).first
            return failed(
                "table.column_missing",
                "has no column \(Prose.list(unknown))",
                "correct the table's columns" + (nearest.map { ": \($0)" } ?? "")
            )
        }
        let generated = all.filter { $0.isGenerated && wanted.contains($0.name) }.map(\.name)
        if !generated.isEmpty {
            return failed(
                "table.column_generated",
                "generated columns are not published: \(Prose.list(generated))",
                "take them out of the table's columns"
            )
        }
        if let full = relations.first(where: { $0.replicaIdentity == .full }) {
            return failed(
                "table.columns_under_full",
                "\(full.qualifiedName) has REPLICA IDENTITY FULL, under which a column list makes "
                    + "the application's UPDATE and DELETE fail",
                identityStatement(full).hasSuffix(" FULL;")
                    ? "give it a primary key; then ALTER TABLE "
                        + "\(SQL.shown(full.schema, full.name)) REPLICA IDENTITY DEFAULT;"
                    : identityStatement(full)
            )
        }
        let lacking = Set(relations.flatMap { identityNames(of: $0) }).subtracting(wanted).sorted()
        guard !lacking.isEmpty else { return [] }
        return failed(
            "table.columns_lack_key",
            "its columns in the settings lack \(Prose.list(lacking)) of the replica identity: "
                + "the application's UPDATE and DELETE would fail",
            "add to the table's columns: \(lacking.joined(separator: ", "))"
        )
    }

    // MARK: Row filter

    /// Has the server plan the filter over the whole row, then over the identity alone.
    private func filter(
        of table: SourceTable,
        _ relations: [CatalogRelation],
        on connection: borrowing Connection
    ) throws(PostgresError) -> [Finding] {
        guard let filter = table.filter else { return [] }
        let subject = table.relation.qualifiedName
        guard source.facts.version >= 150_000 else {
            return [
                Finding(
                    "table.filter_unsupported",
                    .failed,
                    subject: subject,
                    found: "the server knows row filters from 15 on",
                    mend: "take where out of the table's settings, or upgrade the server"
                )
            ]
        }
        // A filter that goes with the identity uses columns of the list, which has the identity.
        let mayReadAll = source.access[table.relation.oid]?.maySelect ?? true
        let all =
            mayReadAll
            ? columns.of(table.relation.oid).map(\.name) : table.relation.columns.map(\.name)
        if let reason = try refusal(of: filter, table: table, columns: all, on: connection) {
            return [
                Finding(
                    "table.filter",
                    .failed,
                    subject: subject,
                    found: "the server refuses its row filter: \(reason)",
                    mend: "correct the table's where"
                )
            ]
        }
        for relation in relations where relation.replicaIdentity != .full {
            let names = identityNames(of: relation)
            guard try refusal(of: filter, table: table, columns: names, on: connection) != nil
            else { continue }
            return [
                Finding(
                    "table.filter_lacks_key",
                    .failed,
                    subject: relation.qualifiedName,
                    found: "its row filter uses columns that are not of the replica identity "
                        + "(\(names.joined(separator: ", "))): the application's UPDATE and "
                        + "DELETE would fail",
                    mend: "ALTER TABLE \(SQL.shown(relation.schema, relation.name)) "
                        + "REPLICA IDENTITY FULL;"
                )
            ]
        }
        return []
    }

    /// Why the server cannot use a filter over these columns; `nil` where it can.
    private func refusal(
        of filter: String,
        table: SourceTable,
        columns: [String],
        on connection: borrowing Connection
    ) throws(PostgresError) -> String? {
        let relation = table.relation
        let list = columns.map(SQL.identifier).joined(separator: ", ")
        do {
            try connection.query(
                "EXPLAIN SELECT FROM (SELECT \(list) FROM ONLY "
                    + "\(SQL.identifier(relation.schema, relation.name))) AS "
                    + "\(SQL.identifier(relation.name)) WHERE (\(filter)\n)"
            )
            return nil
        } catch  where error.kind == .server {
            // That the role may not read the table is a finding of its own.
            return error.sqlState == "42501" ? nil : error.message
        }
    }
}
