// SPDX-License-Identifier: Apache-2.0
//
// The tables that a task writes to, from before they exist to each version that the stream brings:
//
//   inspect → prepare (make, empty, claim) → rows → finishKeys → finishIndexes (and statistics)
//   table(for:) gives, once a version, what the changes of a relation are written with

import ChangeModel
import LibPQ
import Logging
import Sink

/// The target's side of a task's tables; used from the sink's thread.
final class TargetTables {
    private let options: PostgresSinkOptions
    private let naming: TableNaming
    private let log: Logger
    private let patience: Patience
    /// What the stream's versions are written with.
    private var versions: [UInt64: TargetTable] = [:]
    /// The types that the checkpoint remembers; the source may have them no more.
    private var types: [TypeEntry] = []
    /// What `prepare` found, for the rows of the snapshot and for what comes after them.
    private var prepared: Prepared?

    private struct Prepared {
        var source: SourceDefinition
        var tables: [UInt32: TargetTable]

        /// The tables of the target, in order.
        var names: [TableName] {
            tables.values.map { TableName(schema: $0.schema, name: $0.name) }.sorted()
        }
    }

    init(_ options: PostgresSinkOptions, patience: Patience, log: Logger) {
        self.options = options
        self.patience = patience
        self.log = log
        naming = TableNaming(schema: options.schema, selection: options.selection)
    }

    /// Forgets what the target's tables look like.
    func forget() {
        versions.removeAll(keepingCapacity: true)
    }

    // MARK: - Before anything is made

    /// Throws what stands against writing these relations; changes nothing.
    func inspect(
        _ relations: [Relation],
        types: [TypeEntry],
        checkpoint: Checkpoint?,
        on session: TargetSession
    ) throws {
        let oids = Set(types.map(\.oid))
        self.types = types + self.types.filter { !oids.contains($0.oid) }
        let claims = try TableClaims(task: options.task, on: session.connection)
        try claims.refuseOthers(relations.map(naming.target(of:)))
        let findings = try tableFindings(relations, types: types, claims: claims, on: session)
        patience.supervisor.tell(findings)
        if checkpoint?.snapshot == .complete { try waitForPrimary(findings) }
        try TargetErrors.refuse(findings)
        try refuseFilled(relations, after: checkpoint, claims: claims, on: session)
    }

    /// The same before tables are copied beside the stream of others; changes nothing.
    func inspectCopy(
        _ relations: [Relation],
        types: [TypeEntry],
        after checkpoint: Checkpoint?,
        on session: TargetSession
    ) throws {
        try inspect(relations, types: types, checkpoint: checkpoint, on: session)
        let claims = try TableClaims(task: options.task, on: session.connection)
        try FilledTables(options: options, naming: naming, claims: claims)
            .refuse(relations, on: session.connection)
    }

    /// While a failover is under way the old primary may come back before the new one has its
    /// address: a task that was writing there waits for that.
    private func waitForPrimary(_ findings: [Finding]) throws(WalrelayError) {
        guard let standby = findings.first(where: { $0.id == "target.standby" }) else { return }
        throw WalrelayError(
            "sink.standby",
            exit: .prerequisite,
            "The target at \(options.target.destination) has become a standby",
            hint: standby.mend,
            isTransient: true
        )
    }

    /// What `inspect` would warn of and throw, and what is as it has to be; changes nothing.
    func findings(
        _ relations: [Relation],
        types: [TypeEntry],
        checkpoint: Checkpoint?,
        on session: TargetSession
    ) throws -> [Finding] {
        let claims = try TableClaims(task: options.task, on: session.connection)
        var findings = try tableFindings(relations, types: types, claims: claims, on: session)
        do {
            try claims.refuseOthers(relations.map(naming.target(of:)))
            // Only tables that may be read can be looked into.
            let isFit = !findings.contains { $0.level == .failed }
            if isFit {
                try refuseFilled(relations, after: checkpoint, claims: claims, on: session)
            }
        } catch let error as WalrelayError {
            findings.append(
                Finding(
                    error.code,
                    .failed,
                    subject: "target",
                    found: error.message,
                    mend: error.hint
                )
            )
        }
        return findings
    }

    private func tableFindings(
        _ relations: [Relation],
        types: [TypeEntry],
        claims: TableClaims,
        on session: TargetSession
    ) throws -> [Finding] {
        try naming.check(relations)
        let inspection = TableInspection(
            source: try definition(of: relations, types: types),
            relations: relations,
            naming: naming,
            createTables: options.createTables,
            unfinished: claims.unfinished
        )
        return try [session.connection.loginFinding(at: .target)].compactMap { $0 }
            + inspection.findings(on: session.connection)
    }

    private func definition(
        of relations: [Relation],
        types: [TypeEntry]
    ) throws -> SourceDefinition {
        let source = try connectToSource()
        do throws(PostgresError) {
            return try SourceDefinition.read(relations: relations, known: types, on: source)
        } catch {
            throw WalrelayError(error, while: "asking the source what its tables look like")
        }
    }

    /// Throws where rows of a snapshot would meet rows that the settings do not allow for.
    private func refuseFilled(
        _ relations: [Relation],
        after checkpoint: Checkpoint?,
        claims: TableClaims,
        on session: TargetSession
    ) throws {
        guard options.takesSnapshot, checkpoint?.snapshot != .complete else { return }
        try FilledTables(options: options, naming: naming, claims: claims)
            .refuse(Self.lacking(relations, after: checkpoint), on: session.connection)
    }

    /// Those of which nothing is copied.
    private static func lacking(
        _ relations: [Relation],
        after checkpoint: Checkpoint?
    ) -> [Relation] {
        relations.filter { checkpoint?.copy(of: $0.oid).progress ?? .nothing == .nothing }
    }

    /// A version for looking at the target's side only: nothing reads its values' types.
    static func version(of relation: Relation) -> RelationVersion {
        RelationVersion(
            relation: relation,
            types: TypeCatalog().types(of: relation),
            version: 0
        )
    }

    // MARK: - For a snapshot

    /// Gives the tables that walrelay made, and of which a part is copied, their keys.
    func resume(_ checkpoint: Checkpoint, on session: TargetSession) throws {
        let begun = checkpoint.relations.filter { checkpoint.copy(of: $0.oid).progress != .nothing }
        guard !begun.isEmpty else { return }
        try makeKeys(
            definition(of: begun, types: checkpoint.types),
            of: begun.map(naming.target(of:)),
            on: session.connection
        )
    }

    /// Makes, empties and claims the tables, in the caller's transaction.
    ///
    /// Those of which the checkpoint has something copied are not emptied, nor any where no rows are
    /// to come. `isCopy` says that the rows of all of them are, beside a stream.
    func prepare(
        _ relations: [Relation],
        types: [TypeEntry],
        after checkpoint: Checkpoint?,
        isCopy: Bool = false,
        on session: TargetSession
    ) throws {
        let source = try definition(of: relations, types: types)
        let claims = try TableClaims(task: options.task, on: session.connection)
        let names = relations.map(naming.target(of:))
        try claims.refuseOthers(names)
        // Looked at before, but somebody may have filled one while the slot was being made.
        let filled = FilledTables(options: options, naming: naming, claims: claims)
        let lacking = Self.lacking(relations, after: checkpoint)
        let hasRows = isCopy || options.takesSnapshot
        if hasRows { try filled.refuse(isCopy ? relations : lacking, on: session.connection) }
        if let checkpoint, checkpoint.goesOn {
            // No change of a row may have brought a column to the table that rows will have.
            let existing = try TargetCatalog.existing(names, on: session.connection)
            for relation in relations where existing.contains(naming.target(of: relation)) {
                try addColumns(of: relation, at: checkpoint.position, on: session)
            }
        }
        var made: [TableName] = []
        if options.createTables {
            let maker = TableMaker(source: source, naming: naming)
            let result = try maker.make(on: session.connection)
            made = result.tables
            for notice in result.notices { log.notice("\(notice)") }
        }
        if hasRows, options.ifNotEmpty != .merge {
            // Those that the check above has let through: empty, ours, or to be emptied.
            try filled.empty(lacking, on: session, TableLock(patience: patience, log: log))
        }
        try claims.claim(names, made: Set(made), on: session.connection)
        if options.ifNotEmpty == .merge || options.onRowError == .deadLetter {
            // Rows are merged by their key, so it has to be there before them.
            try makeKeys(source, of: names, on: session.connection)
        }
        let tables = try TargetTable.read(
            relations.map(Self.version),
            naming: naming,
            on: session.connection
        )
        prepared = Prepared(
            source: source,
            tables: Dictionary(
                zip(relations.map(\.oid), tables),
                uniquingKeysWith: { first, _ in first }
            )
        )
    }

    /// What the lanes of a snapshot write with; for any thread.
    func copyTargets() -> @Sendable (RelationVersion) throws -> TargetTable {
        let tables = prepared?.tables ?? [:]
        return { version in
            guard var table = tables[version.relation.oid] else {
                throw WalrelayError(
                    "sink.call_order",
                    exit: .internalError,
                    "\(version.relation.qualifiedName) was not prepared"
                )
            }
            table.relation = version
            return table
        }
    }

    /// Makes the keys of the tables whose rows have come; blocks for as long as that takes.
    func finishKeys(on session: TargetSession) throws {
        guard let prepared else { return }
        try makeKeys(prepared.source, of: prepared.names, on: session.connection)
    }

    /// Makes the indexes that are asked for, and the planner's statistics.
    ///
    /// Outside a transaction: what the target refuses is left out. Blocks for as long as it takes.
    func finishIndexes(on session: TargetSession) throws {
        guard let prepared else { return }
        if options.copiesIndexes {
            log.info("making indexes and constraints")
            let plan = try TableMaker(source: prepared.source, naming: naming).indexPlan(
                for: prepared.names,
                skipsTriggers: session.rights.skipsTriggers,
                source: connectToSource(),
                target: session.connection
            )
            for notice in try TableMaker.makeIndexes(plan, on: session.connection) {
                log.warning("\(notice)")
            }
        }
        for name in prepared.names {
            try session.connection.query("ANALYZE \(name.sql)", within: Self.longLimit)
        }
        self.prepared = nil
        forget()
    }

    private func connectToSource() throws -> Connection {
        do throws(PostgresError) {
            return try Connection.open(options.source.for(.catalog), stop: patience.giveUp)
        } catch {
            throw WalrelayError(error, while: "asking the source what its tables look like")
        }
    }

    /// Gives the tables that walrelay made their keys; others keep those that they have.
    private func makeKeys(
        _ source: SourceDefinition,
        of names: [TableName],
        on target: borrowing Connection
    ) throws {
        let maker = TableMaker(source: source, naming: naming)
        let made = try TableClaims(task: options.task, on: target).unfinished
        for statement in try maker.keyStatements(for: names.filter(made.contains), on: target) {
            log.info("making the \(statement.what)")
            // Hours of copying stand behind this one: it is worth ten minutes.
            let lock = TableLock(patience: patience, log: log, limit: .seconds(600))
            try lock.run([statement.table], on: target) {
                try target.query(statement.sql, within: Self.longLimit)
            }
        }
    }

    /// An index of a very large table takes hours.
    static let longLimit: Duration = .seconds(7 * 86_400)

    /// The most versions that are kept: of tables whose columns are added to for years.
    private static let versionLimit = 4096

    // MARK: - For the stream

    /// What changes of a version of a relation are written with.
    ///
    /// A column that the version has and the table lacks is added first, in the open transaction.
    func table(
        for version: RelationVersion,
        at commitLSN: LSN,
        on session: TargetSession
    ) throws -> TargetTable {
        if let known = versions[version.version] { return known }
        try addColumns(of: version.relation, at: commitLSN, on: session)
        let table = try TargetTable.read([version], naming: naming, on: session.connection)[0]
        // Those that are still in use are read again.
        if versions.count >= Self.versionLimit { forget() }
        versions[version.version] = table
        return table
    }

    private func addColumns(
        of relation: Relation,
        at commitLSN: LSN,
        on session: TargetSession
    ) throws {
        let lacking = try AddedColumns.lacking(
            relation,
            in: naming.target(of: relation),
            on: session.connection
        )
        guard !lacking.isEmpty else { return }
        let source = try connectToSource()
        let lock = TableLock(patience: patience, log: log)
        let notices = try lock.run([naming.target(of: relation)], on: session.connection) {
            try AddedColumns(naming: naming, known: types).add(
                to: relation,
                at: commitLSN,
                source: source,
                target: session.connection
            )
        }
        for notice in notices { log.notice("\(notice)") }
    }
}
