// SPDX-License-Identifier: Apache-2.0
//
// A publication as the source has it, and whether it is the one that a task needs. Read with the
// newest catalog: a publication is no part of a snapshot.

import ChangeModel
import LibPQ

/// A publication of the source.
struct PublicationState: Sendable, Equatable {
    /// A table that the publication names itself.
    struct Member: Sendable, Equatable {
        var oid: UInt32
        var schema: String
        var name: String
        /// The published columns' names; `nil` before 15, where all are published.
        var columns: Set<ExactText>?
        /// Whether the publication names the columns, so that a new one is left out.
        var hasColumnList: Bool
        /// The row filter in the server's words.
        var filter: String?

        var qualifiedName: String { "\(schema).\(name)" }
    }

    var name: String
    /// Whether the role of the connection may alter it.
    var isOurs: Bool
    var isForAllTables: Bool
    /// Whether it names schemas instead of tables (15 and later).
    var isForSchemas: Bool
    /// The kinds of change that it leaves out, in the words of `publish`.
    var missingActions: [String]
    /// `publish_via_partition_root`; false before 13.
    var isViaRoot: Bool
    /// Whether stored generated columns are published (18 and later).
    var publishesGenerated: Bool
    /// The tables that it names, by OID.
    var members: [UInt32: Member]
    /// All tables that changes are published as, schemas and ALL TABLES resolved.
    var published: [PublishedTable]

    /// Reads a publication; `nil` where there is none.
    static func read(
        _ name: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> PublicationState? {
        let version = connection.serverVersion
        func column(_ sql: String, from first: Int, before: String) -> String {
            version >= first ? sql : before
        }
        let row = try connection.query(
            """
            SELECT p.puballtables, pg_catalog.pg_has_role(p.pubowner, 'USAGE'), \
            p.pubinsert, p.pubupdate, p.pubdelete, \
            \(column("p.pubtruncate", from: 110_000, before: "true")), \
            \(column("p.pubviaroot", from: 130_000, before: "false")), \
            \(column("p.pubgencols = 's'", from: 180_000, before: "false")), \
            \(column(
                "EXISTS (SELECT FROM pg_catalog.pg_publication_namespace n WHERE n.pnpubid = p.oid)",
                from: 150_000,
                before: "false"
            )) \
            FROM pg_catalog.pg_publication p WHERE p.pubname = \(SQL.literal(name))
            """
        )
        guard row.count == 1 else { return nil }
        let actions = ["insert", "update", "delete", "truncate"]
        return PublicationState(
            name: name,
            isOurs: row.flag(0, 1),
            isForAllTables: row.flag(0, 0),
            isForSchemas: row.flag(0, 8),
            missingActions: actions.indices.filter { !row.flag(0, 2 + $0) }.map { actions[$0] },
            isViaRoot: row.flag(0, 6),
            publishesGenerated: row.flag(0, 7),
            members: try members(of: name, on: connection),
            published: try Publication.publishedTables(named: name, on: connection)
        )
    }

    private static func members(
        of name: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [UInt32: Member] {
        let knowsLists = connection.serverVersion >= 150_000
        let details =
            knowsLists
            ? "m.prattrs IS NOT NULL, pg_catalog.pg_get_expr(m.prqual, m.prrelid)" : "false, NULL"
        let from = """
            FROM pg_catalog.pg_publication_rel m \
            JOIN pg_catalog.pg_publication p ON p.oid = m.prpubid
            """
        let condition = "WHERE p.pubname = \(SQL.literal(name))"
        let rows = try connection.query(
            """
            SELECT m.prrelid, n.nspname, c.relname, \(details) \(from) \
            JOIN pg_catalog.pg_class c ON c.oid = m.prrelid \
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \(condition)
            """
        )
        var members: [UInt32: Member] = [:]
        for row in 0..<rows.count {
            guard let oid = rows.oid(row, 0) else { continue }
            members[oid] = Member(
                oid: oid,
                schema: rows.text(row, 1),
                name: rows.text(row, 2),
                columns: knowsLists ? [] : nil,
                hasColumnList: rows.flag(row, 3),
                filter: rows.value(row, 4)
            )
        }
        guard knowsLists else { return members }
        let columns = try connection.query(
            """
            SELECT m.prrelid, a.attname \(from) \
            JOIN pg_catalog.pg_attribute a ON a.attrelid = m.prrelid AND a.attnum > 0 \
            AND NOT a.attisdropped AND CASE WHEN m.prattrs IS NULL THEN a.attgenerated = '' \
            ELSE a.attnum = ANY (m.prattrs) END \(condition)
            """
        )
        for row in 0..<columns.count {
            guard let oid = columns.oid(row, 0) else { continue }
            members[oid]?.columns?.insert(ExactText(columns.text(row, 1)))
        }
        return members
    }
}

/// How far a publication is what a task needs.
struct PublicationFit: Sendable, Equatable {
    /// What is wrong with its options; only its owner's decision mends that.
    var options: [String] = []
    /// What is wrong with its tables, columns or filters; `SET TABLE` mends that.
    var tables: [String] = []
    /// Whether one for all tables or for schemas does not do what the tables need.
    var lacksTables = false
    /// What a task that is under way has been missing: no mending brings that back.
    var gaps: [String] = []

    var isFit: Bool { options.isEmpty && tables.isEmpty }
}

extension PublicationState {
    /// Compares with what a task needs.
    ///
    /// One that is not the role's own may hold more than the task's tables, which the stream
    /// passes over; the role's own must hold exactly them, since each other change would be
    /// decoded and sent for nothing.
    func fit(_ tables: [SourceTable]) -> PublicationFit {
        var fit = PublicationFit()
        if !missingActions.isEmpty {
            fit.options.append("it does not publish \(missingActions.joined(separator: ", "))")
            fit.gaps = fit.options
        }
        if !isViaRoot, let root = tables.first(where: \.isPartitioned) {
            fit.options.append(
                "publish_via_partition_root is off, so changes of \(root.relation.qualifiedName) "
                    + "would come under its partitions' names"
            )
        }
        if publishesGenerated {
            fit.options.append("it publishes stored generated columns")
        }
        if isForAllTables || isForSchemas {
            if let table = tables.first(where: { $0.columnList != nil || $0.filter != nil }) {
                fit.options.append(
                    "it is for all tables\(isForSchemas ? " of schemas" : ""), so the columns or "
                        + "the filter of \(table.relation.qualifiedName) cannot be applied"
                )
                fit.lacksTables = true
            }
            for member in tables.compactMap({ members[$0.relation.oid] }) where member.filter != nil
            {
                fit.options.append(
                    "its row filter for \(member.qualifiedName) is \(member.filter ?? "")"
                )
                fit.lacksTables = true
            }
            let published = Set(published.map(\.oid))
            // Not by the root, a partitioned table is never listed: that was said above.
            let lacking = tables.filter {
                !published.contains($0.relation.oid) && (isViaRoot || !$0.isPartitioned)
            }
            if !lacking.isEmpty {
                fit.options.append("it lacks \(names(lacking))")
                fit.gaps.append("it lacks \(names(lacking))")
                fit.lacksTables = true
            }
        } else {
            let lacking = tables.filter { members[$0.relation.oid] == nil }
            if !lacking.isEmpty { fit.tables.append("it lacks \(names(lacking))") }
            fit.gaps += fit.tables
            fit.tables += differences(tables)
        }
        return fit
    }

    private func differences(_ tables: [SourceTable]) -> [String] {
        var result: [String] = []
        let wanted = Set(tables.map(\.relation.oid))
        let extra = members.values.filter { !wanted.contains($0.oid) }.map(\.qualifiedName)
        if isOurs, !extra.isEmpty {
            result.append("it also publishes \(Prose.list(extra.sorted()))")
        }
        for table in tables {
            guard let member = members[table.relation.oid] else { continue }
            let columns = Set(table.relation.columns.map(\.$name))
            if member.hasColumnList != (table.columnList != nil)
                || (member.hasColumnList && member.columns != columns)
            {
                result.append("it publishes other columns of \(table.relation.qualifiedName)")
            }
            if !Self.isSameFilter(member.filter, table.filter) {
                result.append(
                    "its row filter for \(table.relation.qualifiedName) is "
                        + (member.filter ?? "absent")
                )
            }
        }
        return result
    }

    private func names(_ tables: [SourceTable]) -> String {
        Prose.list(tables.map(\.relation.qualifiedName))
    }

    /// Whether two filters are the same but for spaces, parentheses and the casts of literals that
    /// the server writes into its own text.
    ///
    /// Errs towards "different"; then `spelled` asks the server.
    static func isSameFilter(_ one: String?, _ other: String?) -> Bool {
        guard let one, let other else { return one == nil && other == nil }
        return bare(one) == bare(other)
    }

    private static func bare(_ filter: String) -> String {
        filter.replacing(
            #/'::(text|character varying|bpchar|date|uuid)(?![a-z0-9_\[ ])/#,
            with: "'"
        )
        .filter { !$0.isWhitespace && $0 != "(" && $0 != ")" }
    }
}
