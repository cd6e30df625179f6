// SPDX-License-Identifier: Apache-2.0
//
// Which tables the settings mean, and whether they can be read. What is named exactly and cannot
// be replicated is refused; what a pattern only happens to match is left out with a warning.

import ChangeModel
import LibPQ

extension CheckedSource {
    func tableFindings(on connection: borrowing Connection) throws(PostgresError) -> [Finding] {
        let chosen = listing.chosen(by: requirements.tables)
        var findings = requirements.tables.include.compactMap { missing($0.pattern, chosen) }
        for entry in chosen where entry.rule.pattern.exactName != nil {
            if let finding = exact(entry.relation, entry.choice) { findings.append(finding) }
        }
        findings += leftOut(chosen)
        findings += excludedPartitions()
        findings += newTables.map { table in
            Finding(
                "table.new",
                .warning,
                subject: table.relation.qualifiedName,
                found: "is new to the task, which copies it beside its stream",
                mend: "to leave it out: tables.exclude"
            )
        }
        if tables.isEmpty, !findings.contains(where: { $0.level == .failed }) {
            findings.append(
                Finding(
                    "tables.none",
                    .failed,
                    subject: "tables",
                    found: "tables.include names no table that can be replicated",
                    mend: "name one in tables.include"
                )
            )
        }
        let identities = try IdentityCheck(self, on: connection)
        var closed: Set<String> = []
        for table in tables {
            let trouble =
                try partsFindings(of: table) + accessFindings(of: table)
                + identities.findings(of: table, on: connection)
            // A schema is told once, however many tables of it are taken.
            findings += trouble.filter { $0.id != "table.usage" || closed.insert($0.mend).inserted }
            if !trouble.contains(where: { $0.level == .failed }) {
                findings.append(fitFinding(of: table, identity: identities.text(of: table)))
            }
        }
        return findings
    }

    // MARK: Names

    private func missing(
        _ pattern: TablePattern,
        _ chosen: [(relation: CatalogRelation, rule: TableRule, choice: Choice)]
    ) -> Finding? {
        guard let name = pattern.exactName else {
            let isMatched = listing.relations.contains {
                pattern.matches(schema: $0.schema, name: $0.name)
            }
            guard !isMatched else { return nil }
            return Finding(
                "tables.unmatched",
                .warning,
                subject: "tables.include \(pattern)",
                found: "matches no table",
                mend: "correct the pattern or take it out"
            )
        }
        guard listing.relation(schema: name.schema, name: name.name) == nil else {
            let isExcluded = requirements.tables.exclude.contains {
                $0.matches(schema: name.schema, name: name.name)
            }
            guard isExcluded else { return nil }
            return Finding(
                "table.excluded",
                .warning,
                subject: "\(pattern)",
                found: "is named by tables.include and left out by tables.exclude",
                mend: "take it out of one of them"
            )
        }
        let nearest = nearestNames(schema: name.schema, name: name.name)
        return Finding(
            "table.missing",
            .failed,
            subject: "\(pattern)",
            found: nearest.isEmpty
                ? "does not exist in database \(facts.database)"
                : "does not exist; there is \(nearest.joined(separator: ", "))",
            mend: nearest.first.map { "correct tables.include: \($0)" }
                ?? "correct tables.include or source.database"
        )
    }

    private func nearestNames(schema: String, name: String) -> [String] {
        let candidates = listing.relations.filter {
            let unfitness = listing.unfitness(of: $0)
            return unfitness != .system && unfitness != .temporary
        }
        let namesakes =
            candidates.filter { $0.name.lowercased() == name.lowercased() }
            .map(\.qualifiedName).sorted()
        let alike = Prose.nearest(
            to: "\(schema).\(name)",
            among: candidates.map(\.qualifiedName)
        )
        var seen: Set<ExactText> = []
        return Array((namesakes + alike).filter { seen.insert(ExactText($0)).inserted }.prefix(3))
    }

    // MARK: Kinds

    private func exact(_ relation: CatalogRelation, _ choice: Choice) -> Finding? {
        switch choice {
        case .taken: return nil
        case .under(let root):
            let name = listing.relation(root)?.qualifiedName ?? "another table"
            return Finding(
                "table.partition",
                .warning,
                subject: relation.qualifiedName,
                found: "is a partition of \(name), which is included: its changes come under "
                    + "that name",
                mend: "take it out of tables.include"
            )
        case .unfit(let reason):
            let (id, found) = Self.describe(reason)
            return Finding(
                id,
                .failed,
                subject: relation.qualifiedName,
                found: found,
                mend: mend(reason, relation)
            )
        }
    }

    private static func describe(_ reason: Unfitness) -> (id: String, found: String) {
        switch reason {
        case .system: ("table.system", "is a system table, which is never published")
        case .temporary: ("table.temporary", "is a temporary table, which no WAL is written for")
        case .unlogged: ("table.unlogged", "is an unlogged table, which no WAL is written for")
        case .view: ("table.view", "is a view, which has no rows of its own")
        case .materializedView:
            ("table.materialized_view", "is a materialized view, which is never published")
        case .foreignTable:
            ("table.foreign", "is a foreign table, whose rows are on another server")
        case .hypertable:
            ("table.hypertable", "is a TimescaleDB hypertable, whose rows are in its chunks")
        case .hypertableChunk:
            ("table.hypertable_chunk", "is a chunk of a TimescaleDB hypertable")
        case .partitionedBefore13:
            (
                "table.partitioned",
                "is a partitioned table, which can be published from PostgreSQL 13 on"
            )
        }
    }

    private func mend(_ reason: Unfitness, _ relation: CatalogRelation) -> String {
        let name = SQL.shown(relation.schema, relation.name)
        switch reason {
        case .unlogged: return "ALTER TABLE \(name) SET LOGGED;"
        case .view, .materializedView: return "include the tables that it reads instead"
        case .foreignTable: return "run a task at the server that has the rows"
        case .partitionedBefore13:
            let leaves = listing.leaves(of: relation).map(\.qualifiedName)
            return "include its partitions instead"
                + (leaves.isEmpty ? "" : ": \(Prose.list(leaves))")
        case .system, .temporary, .hypertable, .hypertableChunk:
            return "take it out of tables.include"
        }
    }

    /// What patterns match and cannot be replicated: a line a pattern and kind.
    private func leftOut(
        _ chosen: [(relation: CatalogRelation, rule: TableRule, choice: Choice)]
    ) -> [Finding] {
        requirements.tables.include.map(\.pattern).filter { $0.exactName == nil }.flatMap {
            pattern in
            let ids = chosen.compactMap { entry -> (String, String, String)? in
                guard entry.rule.pattern == pattern, case .unfit(let reason) = entry.choice,
                    ![.system, .temporary, .hypertableChunk].contains(reason)
                else { return nil }
                let (id, found) = Self.describe(reason)
                return (id, found, entry.relation.qualifiedName)
            }
            return Dictionary(grouping: ids, by: \.0).sorted { $0.key < $1.key }.map { id, group in
                Finding(
                    id,
                    .warning,
                    subject: "tables.include \(pattern)",
                    found: "leaves out \(Prose.list(group.map(\.2).sorted())): each "
                        + (group.first?.1 ?? ""),
                    mend: "name what it leaves out in tables.exclude"
                )
            }
        }
    }

    /// A root's partitions come with it, whatever `exclude` says: that would publish what the
    /// settings forbid.
    private func excludedPartitions() -> [Finding] {
        tables.filter(\.isPartitioned).compactMap { table in
            let excluded = table.storage.filter { part in
                requirements.tables.exclude.contains {
                    $0.matches(schema: part.schema, name: part.name)
                }
            }
            guard !excluded.isEmpty else { return nil }
            return Finding(
                "table.partition_excluded",
                .failed,
                subject: table.relation.qualifiedName,
                found: "is published with all its partitions, so tables.exclude cannot leave out "
                    + Prose.list(excluded.map { "\($0.schema).\($0.name)" }),
                mend: "exclude \(table.relation.qualifiedName) and include the partitions that "
                    + "are wanted, or take the partitions out of tables.exclude"
            )
        }
    }

    // MARK: One table

    private func partsFindings(of table: SourceTable) -> [Finding] {
        guard let relation = listing.relation(table.relation.oid) else { return [] }
        guard table.isPartitioned else { return [inheritance(of: relation)].compactMap { $0 } }
        return listing.leaves(of: relation).compactMap { leaf in
            let name = SQL.shown(leaf.schema, leaf.name)
            let parent = SQL.shown(relation.schema, relation.name)
            if leaf.kind == .foreign {
                return Finding(
                    "table.foreign_partition",
                    .failed,
                    subject: leaf.qualifiedName,
                    found: "is a foreign partition of \(relation.qualifiedName): its rows are on "
                        + "another server and their changes never come",
                    mend: "ALTER TABLE \(parent) DETACH PARTITION \(name);"
                )
            }
            guard leaf.persistence == "u" else { return nil }
            return Finding(
                "table.unlogged",
                .failed,
                subject: leaf.qualifiedName,
                found: "is an unlogged partition of \(relation.qualifiedName), which no WAL is "
                    + "written for",
                mend: "ALTER TABLE \(name) SET LOGGED;"
            )
        }
    }

    private func inheritance(of relation: CatalogRelation) -> Finding? {
        let taken = Set(tables.map(\.relation.oid))
        let children = listing.directChildren(of: relation).filter { !taken.contains($0.oid) }
        guard !children.isEmpty else { return nil }
        return Finding(
            "table.inheritance",
            .warning,
            subject: relation.qualifiedName,
            found: "has inheritance children that are not included, so their rows are not taken: "
                + Prose.list(children.map(\.qualifiedName)),
            mend: "include them, too, or exclude them knowingly"
        )
    }

    private func accessFindings(of table: SourceTable) -> [Finding] {
        let role = SQL.shown(role.name)
        var findings: [Finding] = []
        var schemas: Set<ExactText> = []
        // A snapshot reads the partitions themselves, so their own privileges count.
        let own = SourceTable.Storage(
            oid: table.relation.oid,
            schema: table.relation.schema,
            name: table.relation.name,
            estimatedRows: -1,
            bytes: 0
        )
        let parts = table.isPartitioned ? [own] + table.storage : [own]
        for part in parts {
            guard let access = access[part.oid] else { continue }
            let subject = "\(part.schema).\(part.name)"
            if !access.mayUseSchema, schemas.insert(ExactText(part.schema)).inserted {
                findings.append(
                    Finding(
                        "table.usage",
                        .failed,
                        subject: subject,
                        found: "\(self.role.name) may not use schema \(part.schema)",
                        mend: "GRANT USAGE ON SCHEMA \(SQL.shown(part.schema)) TO \(role);"
                    )
                )
            }
            let unreadable = access.unreadable(of: table)
            if unreadable != [] {
                // Of a table of which columns are taken no other ones need be readable.
                let list = unreadable?.map { SQL.shown($0) }.joined(separator: ", ")
                findings.append(
                    Finding(
                        "table.select",
                        .failed,
                        subject: subject,
                        found: "\(self.role.name) may not read "
                            + (unreadable.map { Prose.list($0) + " of it" } ?? "it"),
                        mend: "GRANT SELECT \(list.map { "(\($0)) " } ?? "")ON "
                            + "\(SQL.shown(part.schema, part.name)) TO \(role);"
                    )
                )
            }
            if access.isFiltered {
                findings.append(
                    Finding(
                        "table.row_security",
                        .failed,
                        subject: subject,
                        found: "row security hides rows from \(self.role.name), so a snapshot "
                            + "would be incomplete",
                        mend: "ALTER ROLE \(role) BYPASSRLS;"
                    )
                )
            }
        }
        return findings
    }

    private func fitFinding(of table: SourceTable, identity: String) -> Finding {
        let bytes = table.storage.reduce(into: Int64(0)) { $0 &+= $1.bytes }
        let kind =
            table.isPartitioned
            ? "partitioned table with \(Prose.count(table.storage.count, "partition"))"
            : "ordinary table"
        return Finding(
            "table",
            .ok,
            subject: table.relation.qualifiedName,
            found: "\(kind), \(Prose.bytes(bytes)), \(identity)"
        )
    }
}
