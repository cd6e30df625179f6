// SPDX-License-Identifier: Apache-2.0
//
// Everything that has to hold before a task runs, looked at and never changed. All findings are
// gathered, so that an operator mends them in one go; the topics have a file each:
//
//   server, settings, room for one more walsender and slot   PrerequisitesServer.swift
//   how much WAL a slot may hold back, and how long          PrerequisitesRetention.swift
//   the role, the publication, the slot                      PrerequisitesObjects.swift
//   which tables are meant, and may they be read             PrerequisitesTables.swift
//   replica identity, column lists, row filters              PrerequisitesIdentity.swift

public import ChangeModel
public import LibPQ

/// What a task asks of its source.
public struct Requirements: Sendable {
    /// The task's name; it names the slot and the publication.
    public var task: String
    /// Which tables are meant.
    public var tables: TableSelection
    /// Whether a snapshot is still to be taken.
    public var needsSnapshot: Bool
    /// Whether standby servers are to copy the slot.
    public var failover: Bool
    /// The OIDs of the tables that a task has taken already; `nil` for one that begins.
    ///
    /// A table that is new to it stops no task: it is mentioned, and judged when it is added.
    public var taken: Set<UInt32>?
    /// Bytes of WAL from which on a run warns of what its slot holds back; `nil` never does.
    public var retainWarning: Int64?

    /// Creates requirements.
    public init(
        task: String,
        tables: TableSelection,
        needsSnapshot: Bool = true,
        taken: Set<UInt32>? = nil,
        retainWarning: Int64? = nil,
        failover: Bool = false
    ) {
        self.task = task
        self.tables = tables
        self.needsSnapshot = needsSnapshot
        self.taken = taken
        self.retainWarning = retainWarning
        self.failover = failover
    }

    var slotName: String { Slot.name(task: task) }
    var publicationName: String { Publication.name(task: task) }
}

/// The check of a source.
public enum Prerequisites {
    /// The versions that walrelay is made for, as major numbers.
    public static let supportedVersions = 10...18

    /// Looks at everything; changes nothing.
    ///
    /// Blocks. Throws only where the connection is lost or a question cannot be asked at all; an
    /// unmet prerequisite is a finding.
    public static func check(
        _ requirements: Requirements,
        on connection: borrowing Connection
    ) throws(WalrelayError) -> [Finding] {
        let version = version(connection.serverVersion)
        // Older servers do not know what is asked from here on.
        guard version.level != .failed else { return [version] }
        do {
            let source = try CheckedSource(requirements, on: connection)
            let login = connection.loginFinding(at: .source) { name, value in
                source.provider.change(name, to: value, needsRestart: false)
            }
            return try [version] + [login].compactMap { $0 }
                + source.serverFindings() + source.roleFindings()
                + source.tableFindings(on: connection) + source.publicationFindings()
                + source.slotFindings() + source.failoverFindings()
        } catch {
            throw WalrelayError(error, while: "checking the source's prerequisites")
        }
    }

    /// What a server's version means; pure, for the number that libpq gives.
    public static func version(_ serverVersion: Int) -> Finding {
        let text = ServerFacts.text(ofVersion: serverVersion)
        let major = serverVersion / 10_000
        let level: Finding.Level =
            major < supportedVersions.lowerBound
            ? .failed : major > supportedVersions.upperBound ? .warning : .ok
        let found =
            switch level {
            case .ok: text
            case .warning: "\(text), newer than \(supportedVersions.upperBound), the last tested"
            case .failed: "\(text); pgoutput exists since 10"
            }
        let mend =
            switch level {
            case .ok: ""
            case .warning: "use the walrelay release that was tested with PostgreSQL \(major)"
            case .failed: "upgrade the server to PostgreSQL 10 or later"
            }
        return Finding("server.version", level, subject: "version", found: found, mend: mend)
    }
}

/// What the findings are drawn from: asked once, before any is judged.
struct CheckedSource: Sendable {
    let requirements: Requirements
    let facts: ServerFacts
    let settings: ServerSettings
    let role: RoleFacts
    let provider: Provider
    let listing: CatalogListing
    /// What the selection takes and can be replicated.
    let tables: [SourceTable]
    /// What the selection names and a task that is under way has not taken.
    let newTables: [SourceTable]
    let publication: PublicationState?
    let slot: SlotState?
    /// What standby servers need to copy the slot; `nil` where that is not asked for.
    let failover: FailoverFacts?
    /// Whether each table that holds rows can be read, by OID; roots included.
    let access: [UInt32: TableAccess]

    init(_ requirements: Requirements, on connection: borrowing Connection) throws(PostgresError) {
        self.requirements = requirements
        facts = try ServerFacts(on: connection)
        settings = try ServerSettings(on: connection)
        role = try RoleFacts(on: connection)
        let marks = try connection.query(
            "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN "
                + "(\(SQL.literals(Provider.tellingRoles)))"
        )
        provider = .detect(roles: Set((0..<marks.count).map { marks.text($0, 0) }))
        listing = try CatalogListing(on: connection)
        // Not measured: a check must not wait for somebody's lock.
        let named = try SourceCatalog.tables(
            requirements.tables,
            measured: false,
            listing: listing,
            on: connection
        )
        let taken = requirements.taken
        tables = named.filter { taken?.contains($0.relation.oid) ?? true }
        newTables = named.filter { !(taken?.contains($0.relation.oid) ?? true) }
        publication = try PublicationState.read(requirements.publicationName, on: connection)?
            .spelled(as: tables, on: connection)
        slot = try SlotState.named(requirements.slotName, on: connection)
        failover = try requirements.failover ? FailoverFacts(on: connection) : nil
        access = try TableAccess.read(
            Set(tables.flatMap { [$0.relation.oid] + $0.storage.map(\.oid) }).sorted(),
            on: connection
        )
    }

    /// Whether the role may name all the tables in a publication.
    var ownsAllTables: Bool {
        role.isSuperuser || tables.allSatisfy { access[$0.relation.oid]?.isOwner ?? false }
    }
}

/// What a role may do to a table.
struct TableAccess: Sendable {
    var mayUseSchema: Bool
    /// SELECT on the table, and so on all its columns.
    var maySelect: Bool
    /// The columns that the role may read where it may not read the table.
    var readableColumns: Set<String> = []
    /// Whether policies hide rows from the role.
    var isFiltered: Bool
    var isOwner: Bool
    var owner: String

    static func read(
        _ oids: [UInt32],
        on connection: borrowing Connection
    ) throws(PostgresError) -> [UInt32: TableAccess] {
        var access: [UInt32: TableAccess] = [:]
        for list in SourceCatalog.oidLists(oids) {
            let rows = try connection.query(
                """
                SELECT c.oid, pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'), \
                pg_catalog.has_table_privilege(c.oid, 'SELECT'), \
                c.relrowsecurity AND pg_catalog.row_security_active(c.oid), \
                pg_catalog.pg_has_role(c.relowner, 'USAGE'), \
                pg_catalog.pg_get_userbyid(c.relowner) \
                FROM pg_catalog.pg_class c WHERE c.oid IN (\(list))
                """
            )
            for row in 0..<rows.count {
                guard let oid = rows.oid(row, 0) else { continue }
                access[oid] = TableAccess(
                    mayUseSchema: rows.flag(row, 1),
                    maySelect: rows.flag(row, 2),
                    isFiltered: rows.flag(row, 3),
                    isOwner: rows.flag(row, 4),
                    owner: rows.text(row, 5)
                )
            }
            let columns = try connection.query(
                """
                SELECT attrelid, attname FROM pg_catalog.pg_attribute \
                WHERE attrelid IN (\(list)) AND attnum > 0 AND NOT attisdropped \
                AND NOT pg_catalog.has_table_privilege(attrelid, 'SELECT') \
                AND pg_catalog.has_column_privilege(attrelid, attnum, 'SELECT')
                """
            )
            for row in 0..<columns.count {
                guard let oid = columns.oid(row, 0) else { continue }
                access[oid]?.readableColumns.insert(columns.text(row, 1))
            }
        }
        return access
    }

    /// Which of the columns that a snapshot reads the role may not; `nil` is the whole table.
    func unreadable(of table: SourceTable) -> [String]? {
        if maySelect { return [] }
        guard table.columnList != nil else { return nil }
        return table.relation.columns.map(\.name).filter { !readableColumns.contains($0) }
    }
}
