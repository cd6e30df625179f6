// SPDX-License-Identifier: Apache-2.0
//
// The rows of a snapshot on their way into the target's tables: a connection for each of the
// snapshot's workers, on it one COPY … FROM STDIN after the other, a chunk each:
//
//   BEGIN → COPY → what is copied (CopiedChunks) → COMMIT
//
// So a chunk is there whole and known of, or not at all.

import ChangeModel
import LibPQ
import Sink
import Synchronization

/// Makes lanes into a PostgreSQL.
final class PostgresLanes: CopyLanes {
    private let parameters: ConnectionParameters
    private let record: LaneRecord
    private let table: @Sendable (RelationVersion) throws -> TargetTable
    private let bytes = Atomic<UInt64>(0)

    /// Lanes into the server that `parameters` lead to, good for as long as `record` says.
    ///
    /// `table` is called on the workers' threads, twice a chunk.
    init(
        parameters: ConnectionParameters,
        record: LaneRecord,
        table: @escaping @Sendable (RelationVersion) throws -> TargetTable
    ) {
        self.parameters = parameters
        self.record = record
        self.table = table
    }

    /// Bytes that all lanes together have handed to the target.
    var bytesWritten: UInt64 { bytes.load(ordering: .relaxed) }

    func open(keepWaiting: @escaping @Sendable () -> Bool) throws -> any CopyLane {
        try PostgresLane(parameters, record, table, keepWaiting) { [self] count in
            bytes.add(UInt64(count), ordering: .relaxed)
        }
    }
}

/// What a lane notes of its chunks, and for how long it may write.
enum LaneRecord: Sendable {
    /// A snapshot's: each chunk is noted, while the checkpoint stands at the position.
    case chunks(CheckpointTable, position: LSN)
    /// A copy's beside the stream: nothing is noted, while the copy is the last one that was begun.
    case copy(CheckpointTable, token: Int64)

    var checkpoints: CheckpointTable {
        switch self {
        case .chunks(let table, _), .copy(let table, _): table
        }
    }

    /// The statement of a lane's transaction that gives a row while the lane may write.
    func statement(_ copied: TableCopy) -> String {
        switch self {
        case .chunks(let table, let position): table.noting(copied, at: position)
        case .copy(let table, let token): table.holdingCopy(token)
        }
    }
}

/// A lane: one connection, one COPY at a time.
final class PostgresLane: CopyLane {
    /// What is gathered before it is written: more gains nothing, and with less the target's
    /// backend wakes up more often.
    private static let writeBytes = 128 << 10
    /// How long the target may take no more bytes, or may take for the end of a chunk.
    private static let idleLimit: Duration = .seconds(3600)
    /// A repair holds the checkpoint's row for a minute at most.
    private static let lockLimit: Duration = .seconds(600)

    private let connection: Connection
    private let destination: String
    private let record: LaneRecord
    private let table: @Sendable (RelationVersion) throws -> TargetTable
    private let wrote: (Int) -> Void
    private let buffer: UnsafeMutableRawBufferPointer
    private var count = 0
    /// The table whose COPY is running, and in which format.
    private var current: TargetTable?
    private var currentFormat = CopyFormat.text
    /// How many messages of the COPY came.
    private var messages = 0

    init(
        _ parameters: ConnectionParameters,
        _ record: LaneRecord,
        _ table: @escaping @Sendable (RelationVersion) throws -> TargetTable,
        _ keepWaiting: @escaping @Sendable () -> Bool,
        wrote: @escaping (Int) -> Void
    ) throws {
        connection = try Self.connect(parameters, keepWaiting)
        destination = parameters.destination
        self.record = record
        self.table = table
        self.wrote = wrote
        buffer = .allocate(byteCount: Self.writeBytes, alignment: 16)
    }

    deinit { buffer.deallocate() }

    private static func connect(
        _ parameters: ConnectionParameters,
        _ keepWaiting: @escaping @Sendable () -> Bool
    ) throws -> Connection {
        let giveUp = StopSignal()
        do throws(PostgresError) {
            let connection = try Connection.open(parameters.for(.copy), stop: giveUp) {
                if !keepWaiting() { giveUp.request() }
            }
            _ = try TargetSession.setUp(connection)
            // The server writes WAL in order: the sink's next commit, which does wait for its own
            // record to be durable, makes all that came before durable with it. Until then a crash
            // of the target may take the last chunks away, together with what says that they came.
            try connection.query("SET synchronous_commit = off")
            return connection
        } catch {
            throw TargetErrors.error(
                error,
                while: "connecting to the target \(parameters.destination)"
            )
        }
    }

    func format(of relation: RelationVersion) throws -> CopyFormat {
        format(of: relation, in: try lookUp(relation))
    }

    private func format(of relation: RelationVersion, in table: TargetTable) -> CopyFormat {
        // Every PostgreSQL from 10 on has this on; others that speak the protocol may not.
        guard connection.parameterStatus("integer_datetimes") == "on" else { return .text }
        let isShared = zip(relation.relation.columns, table.columns).allSatisfy { source, target in
            BinaryForm.isShared(
                source: source.typeOID,
                target: target.typeOID,
                version: connection.serverVersion
            )
        }
        return isShared ? .binary : .text
    }

    func begin(_ relation: RelationVersion) throws {
        let table = try lookUp(relation)
        let columns = table.columns.map { SQL.identifier($0.name) }.joined(separator: ", ")
        let list = columns.isEmpty ? "" : " (\(columns))"
        let format = format(of: relation, in: table)
        (count, messages, currentFormat) = (0, 0, format)
        do throws(PostgresError) {
            try connection.query("BEGIN")
            try connection.beginCopyIn(
                "COPY \(table.qualifiedName)\(list) FROM STDIN (FORMAT \(format.rawValue))",
                within: Self.idleLimit
            )
        } catch {
            let name = "\(table.schema).\(table.name)"
            throw TargetErrors.error(error, while: "copying into \(name) of \(destination)")
        }
        current = table
    }

    func take(_ bytes: UnsafeRawBufferPointer) throws {
        messages &+= 1
        if bytes.count > buffer.count - count {
            try write()
            // A row of this size is a write by itself.
            guard bytes.count < buffer.count else { return try write(bytes) }
        }
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: bytes)
        count += bytes.count
    }

    func end(_ copied: TableCopy) throws {
        try write()
        guard let table = current else { return }
        Failpoint.hit(.afterWriteBeforeSync)
        let taken: Int
        do throws(PostgresError) {
            taken = try connection.endCopyIn(within: Self.idleLimit)
        } catch {
            throw LaneFault.copying(table, destination, error)
        }
        current = nil
        // In binary the last message is the trailer.
        let given = currentFormat == .binary ? messages - 1 : messages
        guard taken == given else {
            throw LaneFault.missing(table, destination, given: given, taken: taken)
        }
        try commit(copied)
    }

    func note(_ copied: TableCopy) throws {
        try attempt { () throws(PostgresError) in try connection.query("BEGIN") }
        try commit(copied)
    }

    /// Ends the transaction, unless the checkpoint is another one by now.
    private func commit(_ copied: TableCopy) throws {
        Failpoint.hit(.chunkBeforeRecord)
        let statement = record.statement(copied)
        let own = try attempt { () throws(PostgresError) in
            try connection.query(statement, within: Self.lockLimit).count
        }
        guard own == 1 else { throw LaneFault.checkpointMoved(record, destination) }
        Failpoint.hit(.chunkBeforeCommit)
        try attempt { () throws(PostgresError) in try connection.query("COMMIT") }
        Failpoint.hit(.chunkAfterCommit)
    }

    @discardableResult
    private func attempt<Result>(
        _ body: () throws(PostgresError) -> Result
    ) throws(WalrelayError) -> Result {
        do {
            return try body()
        } catch {
            throw TargetErrors.error(error, while: "noting a chunk on \(destination)")
        }
    }

    func abandon() {
        guard current != nil else { return }
        current = nil
        // The backend may wait for a lock, where it would not notice that its client has gone.
        connection.cancel()
    }

    private func lookUp(_ relation: RelationVersion) throws -> TargetTable {
        do {
            return try table(relation)
        } catch let error as PostgresError {
            let name = relation.relation.qualifiedName
            throw TargetErrors.error(error, while: "looking up \(name) on \(destination)")
        }
    }

    private func write() throws {
        let filled = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        count = 0
        try write(filled)
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws {
        guard let table = current else { return }
        Failpoint.hit(.beforeWrite)
        do throws(PostgresError) {
            try connection.copyIn(bytes, idleLimit: Self.idleLimit)
        } catch {
            throw LaneFault.copying(table, destination, error)
        }
        wrote(bytes.count)
    }
}
