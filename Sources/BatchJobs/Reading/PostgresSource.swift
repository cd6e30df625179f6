// SPDX-License-Identifier: Apache-2.0
//
// The postgresql reader. A keeper connection looks at what the job reads, locks it against DDL,
// exports a snapshot and divides the tables; then every reader sees that one snapshot, whatever is
// written meanwhile, and the slices together hold each row exactly once.

public import ChangeModel
public import LibPQ
public import Settings
import Synchronization

/// Tables, views or queries of a PostgreSQL.
public final class PostgresSource: RecordSource {
    /// The columns of the records.
    public let shape: RecordShape
    /// What is divided how, and the statement of each slice.
    public let plan: [String]
    /// What the operator should know.
    public let warnings: [String]
    /// About how many records there are, as the server's planner sees it.
    public let estimatedRecords: Int?
    /// How many slices there are.
    public var sliceCount: Int { slices.count }

    private let session: SourceSession
    private let snapshot: String
    private let slices: [SourceSlice]
    private let locks: [ComposedStatement]
    private let readsTables: Bool
    private let fetchSize: Int?
    private let keeper: Mutex<Connection?>

    /// Connects, takes the snapshot and divides what is read; blocks.
    ///
    /// `channels` is how many readers will work at the same time. The server's search_path and
    /// TimeZone stay as they are for the role. Throws `WalrelayError`.
    public convenience init(
        _ step: Job.PostgreSQLReader,
        server: ConnectionParameters,
        channels: Int,
        context: JobContext
    ) throws {
        try self.init(
            step,
            session: SourceSession(
                server,
                stop: context.stop,
                patience: .seconds(3_600),
                lockLimit: .seconds(30)
            ),
            channels: channels,
            limits: SourceDivision.Limits()
        )
    }

    init(
        _ step: Job.PostgreSQLReader,
        session: SourceSession,
        channels: Int,
        limits: SourceDivision.Limits
    ) throws {
        let connection = try session.keeper()
        let contents = try SourceContent.all(step.content, on: connection)
        let snapshot = try connection.ask(
            "SELECT pg_catalog.pg_export_snapshot()",
            while: "exporting a snapshot"
        ).text(0, 0)
        let division = try SourceDivision(
            contents,
            splitKey: step.content.splitKey,
            channels: channels,
            patience: session.patience,
            limits: limits,
            on: connection
        )
        self.session = session
        self.snapshot = snapshot
        slices = division.slices
        locks = contents.map(\.statement)
        readsTables = contents.allSatisfy { $0.table != nil }
        fetchSize = step.fetchSize
        let holdsAnyBytes = connection.holdsAnyBytes
        shape = RecordShape(
            columns: try Self.columns(of: contents, on: connection),
            allowsBinary: step.fetchSize == nil && !holdsAnyBytes
                && contents.allSatisfy { $0.columns.hasSameTypes(as: contents[0].columns) }
        )
        estimatedRecords = contents.reduce(0) { $0 + $1.estimatedRows }
        plan = division.summary + Self.lines(of: division.slices, fetchSize: step.fetchSize)
        var warnings = connection.protectionWarnings(at: "reader") + division.warnings
        for case let relation? in contents.map(\.table?.relation) where relation.hidesRows {
            warnings.append(
                "row-level security is on for \(relation.label): only rows that its policies show "
                    + "to this role are read"
            )
        }
        if holdsAnyBytes {
            warnings.append(
                "the reader's database is SQL_ASCII, which holds any bytes: a record that is no "
                    + "UTF-8 is a dirty one"
            )
        }
        self.warnings = warnings
        keeper = Mutex(connection)
    }

    /// Opens a reader, which sees the snapshot and has the locks.
    public func open(_ format: CopyFormat) throws -> any RecordReader {
        let connection = try session.reader(of: snapshot)
        try tune(connection)
        for statement in locks {
            // Not later: a lock that is asked for later would queue behind an ALTER TABLE that
            // came in between and waits for the others.
            try connection.ask(statement.between("EXPLAIN "), while: "locking what is read")
        }
        return PostgresReader(
            connection: connection,
            slices: slices,
            columns: shape.columns,
            format: format,
            fetchSize: fetchSize,
            patience: session.patience
        )
    }

    /// Keeps the server from spending more on a slice than the slice is worth.
    private func tune(_ connection: borrowing Connection) throws(WalrelayError) {
        guard readsTables else { return }
        var statements: [String] = []
        if connection.serverVersion >= 110_000 { statements.append("SET LOCAL jit = off") }
        if slices.count > 1 {
            // The channels are all the parallelism that was asked for.
            statements.append("SET LOCAL max_parallel_workers_per_gather = 0")
        }
        guard !statements.isEmpty else { return }
        try connection.ask(statements.joined(separator: "; "), while: "preparing to read")
    }

    /// Ends the transaction that holds the snapshot; readers that are open keep it.
    public func close() {
        keeper.withLock { $0 = nil }
    }

    private static func columns(
        of contents: [SourceContent],
        on connection: borrowing Connection
    ) throws(WalrelayError) -> [RecordColumn] {
        let columns = contents[0].columns
        let types = columns.map {
            "pg_catalog.format_type(\($0.typeOID), \($0.typeModifier))"
        }
        let names = try connection.ask(
            "SELECT \(types.joined(separator: ", "))",
            while: "looking at the columns' types"
        )
        return columns.enumerated().map { index, column in
            RecordColumn(
                name: column.name,
                typeOID: column.typeOID,
                typeName: names.text(0, index)
            )
        }
    }

    /// At most so many statements are listed.
    private static let listedSlices = 64

    private static func lines(of slices: [SourceSlice], fetchSize: Int?) -> [String] {
        var lines = slices.prefix(listedSlices).enumerated().map { index, slice in
            let statement =
                fetchSize.map { slice.cursor(fetching: $0) }
                .map { "\($0.declare.text); \($0.fetch); …" } ?? slice.copy(false).text
            return "slice \(index + 1): \(statement.onOneLine)"
        }
        if slices.count > listedSlices {
            lines.append("… and \(slices.count - listedSlices) more slices")
        }
        return lines
    }
}

extension Job.PostgreSQLReader.Content {
    fileprivate var splitKey: String? {
        guard case .tables(let tables) = self else { return nil }
        return tables.splitKey
    }
}

extension [ResultColumn] {
    fileprivate func hasSameTypes(as other: [ResultColumn]) -> Bool {
        map(\.typeOID) == other.map(\.typeOID)
    }
}

extension String {
    /// With line feeds as blanks, for a list with a line each.
    fileprivate var onOneLine: String {
        split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}
