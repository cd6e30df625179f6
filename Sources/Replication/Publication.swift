// SPDX-License-Identifier: Apache-2.0
//
// The publication of a task: made before the slot, reused where it fits, altered where it is the
// role's own and only its tables differ, refused otherwise. It names each table ONLY, so that
// inheritance children come only when they are asked for, and partitioned tables by their root.

public import ChangeModel
public import LibPQ

/// A table that a publication publishes changes as.
public struct PublishedTable: Sendable, Hashable {
    /// The table's OID.
    public var oid: UInt32
    /// The schema's name, unquoted.
    public var schema: String
    /// The table's name, unquoted.
    public var name: String
}

/// The publication of a task.
public enum Publication {
    /// What `ensure` did.
    public enum Outcome: Sendable, Equatable {
        /// It was there and fits.
        case reused
        /// There was none.
        case created
        /// It was there; its tables, columns or filters were set. The texts say what differed.
        case altered([String])

        /// A sentence for the log.
        public var description: String {
            switch self {
            case .reused: "the publication is there and fits"
            case .created: "the publication was created"
            case .altered(let differences):
                "the publication's tables were set, because "
                    + differences.joined(separator: "; ")
            }
        }
    }

    /// The publication's name: `di_pub_<task>`.
    public static func name(task: String) -> String { "di_pub_\(task)" }

    /// Makes the publication be there and publish exactly `tables`.
    ///
    /// A task that is under way (`isUnderWay`) has been streaming all of it: what was written while
    /// the publication lacked something never comes, so nothing that lacks is added behind its
    /// back, but for tables that it is only now to stream (`adding`). That throws
    /// `publication.missing` or `publication.gap`, exit 74.
    ///
    /// Blocks while somebody holds a lock on a table that conflicts with SHARE UPDATE EXCLUSIVE,
    /// such as VACUUM's, for the session's `lock_timeout`; then it throws
    /// `publication.table_locked`, transient. Throws `publication.unfit` where the one that is there
    /// has other options or belongs to somebody else, with the statement that its owner can run.
    @discardableResult
    public static func ensure(
        task: String,
        tables: [SourceTable],
        isUnderWay: Bool = false,
        adding: Set<UInt32> = [],
        on connection: borrowing Connection
    ) throws(WalrelayError) -> Outcome {
        let name = name(task: task)
        let version = connection.serverVersion
        let creation = createStatement(name: name, tables: tables, serverVersion: version)
        guard !tables.isEmpty else {
            throw WalrelayError(
                "publication.empty",
                exit: .prerequisite,
                "publication \(name) would have no table",
                hint: "name a table in tables.include that exists and can be replicated"
            )
        }
        guard let found = try read(name, for: tables, on: connection) else {
            if isUnderWay { throw PublicationGap.dropped(name) }
            do {
                try connection.query(creation)
                return .created
            } catch {
                throw Self.failure(
                    error,
                    while: "creating publication \(name)",
                    tables,
                    hint: "let the tables' owner run: \(creation)",
                    on: connection
                )
            }
        }
        let fit = found.fit(tables)
        if fit.isFit { return .reused }
        let streamed = found.fit(tables.filter { !adding.contains($0.relation.oid) })
        if isUnderWay, !streamed.gaps.isEmpty {
            throw PublicationGap(found, fit: streamed, tables: tables, serverVersion: version).error
        }
        let statement = mendingStatement(found, fit: fit, tables: tables, serverVersion: version)
        guard fit.options.isEmpty, found.isOurs else {
            throw WalrelayError(
                "publication.unfit",
                exit: .prerequisite,
                "publication \(name) does not fit: "
                    + (fit.options + fit.tables).joined(separator: "; "),
                hint: "let its owner run: \(statement)"
            )
        }
        do {
            try connection.query(statement)
        } catch {
            throw Self.failure(
                error,
                while: "setting the tables of publication \(name)",
                tables,
                hint: "let the tables' owner run: \(statement)",
                on: connection
            )
        }
        // Filters are compared as text, the server's after it has been through its parser: the
        // statement changes nothing where they mean the same, and then nothing was altered.
        return try read(name, for: tables, on: connection) == found
            ? .reused : .altered(fit.tables)
    }

    /// The tasks that have a publication in the connection's database.
    ///
    /// Blocks.
    public static func tasks(
        on connection: borrowing Connection
    ) throws(PostgresError) -> Set<String> {
        let rows = try connection.query(
            "SELECT pg_catalog.substr(pubname::text, 8) FROM pg_catalog.pg_publication "
                + "WHERE pg_catalog.left(pubname::text, 7) = 'di_pub_'"
        )
        return Set((0..<rows.count).map { rows.text($0, 0) })
    }

    /// The tables that the task's publication publishes changes as, by OID; empty without one.
    ///
    /// Partitions that come under their root's name are not among them. Blocks.
    public static func publishedTables(
        task: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [PublishedTable] {
        try publishedTables(named: name(task: task), on: connection)
    }

    /// As pg_publication_tables, which opens each table and so waits for whoever has locked one.
    static func publishedTables(
        named name: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [PublishedTable] {
        let version = connection.serverVersion
        let isViaRoot = version >= 130_000 ? "p.pubviaroot" : "false"
        let bySchema =
            version >= 150_000
            ? """
            OR c.relnamespace IN (SELECT n.pnnspid FROM pg_catalog.pg_publication_namespace n \
            WHERE n.pnpubid = p.oid)
            """ : ""
        let rows = try connection.query(
            """
            WITH RECURSIVE named AS (SELECT c.oid, c.relispartition, \(isViaRoot) AS viaroot \
            FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_class c ON p.puballtables \
            OR c.oid IN (SELECT m.prrelid FROM pg_catalog.pg_publication_rel m \
            WHERE m.prpubid = p.oid) \(bySchema) \
            WHERE p.pubname = \(SQL.literal(name)) AND c.relkind IN ('r', 'p') \
            AND c.relpersistence = 'p' AND c.oid >= 16384), \
            above AS (SELECT oid AS leaf, oid FROM named WHERE relispartition UNION \
            SELECT above.leaf, i.inhparent FROM above \
            JOIN pg_catalog.pg_class c ON c.oid = above.oid AND c.relispartition \
            JOIN pg_catalog.pg_inherits i ON i.inhrelid = above.oid), \
            below AS (SELECT oid FROM named WHERE NOT viaroot UNION \
            SELECT i.inhrelid FROM below \
            JOIN pg_catalog.pg_class c ON c.oid = below.oid AND c.relkind = 'p' \
            JOIN pg_catalog.pg_inherits i ON i.inhparent = below.oid) \
            SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c \
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.oid IN (SELECT oid FROM below) AND c.relkind = 'r' \
            OR c.oid IN (SELECT oid FROM named WHERE viaroot) \
            AND c.oid NOT IN (SELECT above.leaf FROM above JOIN named \
            ON named.oid = above.oid AND above.oid <> above.leaf) ORDER BY c.oid
            """
        )
        return (0..<rows.count).compactMap { row in
            rows.oid(row, 0).map {
                PublishedTable(oid: $0, schema: rows.text(row, 1), name: rows.text(row, 2))
            }
        }
    }

    /// The error of a statement on a publication, with who holds a table where that was it.
    private static func failure(
        _ error: PostgresError,
        while action: String,
        _ tables: [SourceTable],
        hint: String,
        on connection: borrowing Connection
    ) -> WalrelayError {
        guard error.sqlState == "55P03" else {
            return WalrelayError(error, while: action, hint: hint)
        }
        let holder = TableLockMode.shareUpdateExclusive.holder(
            of: tables.map(\.relation.oid),
            on: connection
        )
        return WalrelayError(
            "publication.table_locked",
            exit: .unreachable,
            "\(action): a table could not be locked in time"
                + (holder.map { "; \($0)" } ?? ""),
            hint: "end the statement that holds the lock (pg_locks, pg_stat_activity), or wait for "
                + "it: the task tries again",
            isTransient: true
        )
    }

    private static func read(
        _ name: String,
        for tables: [SourceTable],
        on connection: borrowing Connection
    ) throws(WalrelayError) -> PublicationState? {
        do {
            return try PublicationState.read(name, on: connection)?
                .spelled(as: tables, on: connection)
        } catch {
            throw WalrelayError(error, while: "reading publication \(name)")
        }
    }
}

// MARK: - Statements

extension Publication {
    /// The statement that makes the publication.
    static func createStatement(
        name: String,
        tables: [SourceTable],
        serverVersion: Int
    ) -> String {
        "CREATE PUBLICATION \(SQL.shown(name)) FOR "
            + tableList(tables, serverVersion: serverVersion)
            + " WITH (\(options(serverVersion)));"
    }

    /// The statement or statements that make a publication fit.
    static func mendingStatement(
        _ state: PublicationState,
        fit: PublicationFit,
        tables: [SourceTable],
        serverVersion: Int
    ) -> String {
        let name = SQL.shown(state.name)
        let setTables =
            "ALTER PUBLICATION \(name) SET \(tableList(tables, serverVersion: serverVersion));"
        if fit.options.isEmpty { return setTables }
        let setOptions = "ALTER PUBLICATION \(name) SET (\(options(serverVersion)));"
        // SET TABLE takes the place of schemas, but not of ALL TABLES.
        guard state.isForAllTables else {
            return fit.tables.isEmpty && !state.isForSchemas
                ? setOptions : "\(setOptions) \(setTables)"
        }
        // All tables are in it, so what it lacks is what partitioning hides: a partition under
        // its root, when it publishes by the root.
        if !fit.lacksTables { return setOptions }
        return "DROP PUBLICATION \(name); "
            + createStatement(name: state.name, tables: tables, serverVersion: serverVersion)
    }

    private static func tableList(_ tables: [SourceTable], serverVersion: Int) -> String {
        let entries = tables.map { table in
            var text = "ONLY \(SQL.shown(table.relation.schema, table.relation.name))"
            guard serverVersion >= 150_000 else { return text }
            if table.columnList != nil {
                let columns = table.relation.columns.map { SQL.shown($0.name) }
                text += " (\(columns.joined(separator: ", ")))"
            }
            // The line break ends a comment that the filter may end in.
            if let filter = table.filter { text += " WHERE (\(filter)\n)" }
            return text
        }
        return "TABLE " + entries.joined(separator: ", ")
    }

    private static func options(_ serverVersion: Int) -> String {
        var text = "publish = 'insert, update, delete"
        text += serverVersion >= 110_000 ? ", truncate'" : "'"
        if serverVersion >= 130_000 { text += ", publish_via_partition_root = true" }
        if serverVersion >= 180_000 { text += ", publish_generated_columns = none" }
        return text
    }
}
