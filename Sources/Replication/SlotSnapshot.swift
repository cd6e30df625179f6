// SPDX-License-Identifier: Apache-2.0
//
// A slot and a snapshot that are one. The order that makes it so:
//
//   BEGIN REPEATABLE READ, READ ONLY                         on a replication connection
//   CREATE_REPLICATION_SLOT … USE_SNAPSHOT                   the transaction sees exactly what was
//                                                            committed before the consistent point
//   SELECT pg_export_snapshot()                              others may join it while it is open
//
// The permanent slot is made so where it is absent. Where it exists already (made beforehand, or
// left by a snapshot that was interrupted) a temporary slot gives the snapshot: the permanent one
// holds every change from before that point on, and what lies before the point is left out.

public import ChangeModel
public import LibPQ
public import Logging

/// An open transaction whose snapshot lies at the consistent point of a slot.
///
/// While it is open others can import the snapshot, and the source cannot remove old rows: it is
/// to be closed as soon as all have imported it.
public struct SlotSnapshot: ~Copyable {
    /// The connection that holds the transaction; plain statements see the snapshot.
    public let connection: Connection
    /// The snapshot holds exactly the transactions that committed before this position.
    public let consistentPoint: LSN
    /// What `SET TRANSACTION SNAPSHOT` takes.
    public let snapshotName: String
    /// Whether the permanent slot was made by this call.
    public let madeSlot: Bool
    /// The slot that the snapshot belongs to; a temporary one goes with the connection.
    public let slotName: String

    /// How long making a slot may wait for the transactions that are open on the source.
    public static let creationLimit: Duration = .seconds(1800)

    /// Makes the slot, or a temporary one beside it, and exports its snapshot.
    ///
    /// Blocks.
    ///
    /// With `failover`, from 17 on, the permanent slot is one that standby servers copy.
    /// The slot is made on `primary` and nowhere else, where one is given.
    /// `waiting` is called now and then while the server waits for open transactions and answers,
    /// `atLeast` meanwhile with positions that the consistent point cannot lie before.
    /// Throws `WalrelayError`; after a failure nothing is left behind on the server but, at most,
    /// the permanent slot.
    public static func take(
        slot: String,
        slotExists: Bool,
        failover: Bool = false,
        on primary: Primary? = nil,
        parameters: ConnectionParameters,
        stop: StopSignal,
        log: Logger,
        waiting: @escaping @Sendable () -> Void = {},
        atLeast: (@Sendable (LSN) -> Void)? = nil
    ) throws -> SlotSnapshot {
        do {
            let connection = try Connection.open(parameters.for(.slot).replication, stop: stop)
            try primary?.verify(on: connection)
            try connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            let watch = SlotCreationWatch(
                parameters: parameters,
                waitingPID: connection.backendPID,
                log: log,
                waiting: waiting,
                atLeast: atLeast
            )
            defer { watch.end() }
            let name =
                slotExists ? "di_tmp_\(connection.backendPID)" : slot
            let answer = try connection.query(
                creation(of: name, isTemporary: slotExists, failover: failover),
                within: creationLimit
            )
            guard let point = LSN(answer.text(0, 1)) else {
                throw PostgresError(
                    kind: .server,
                    message: "\"\(answer.text(0, 1))\" is not a consistent point"
                )
            }
            let exported = try connection.query("SELECT pg_catalog.pg_export_snapshot()")
            return SlotSnapshot(
                connection: connection,
                consistentPoint: point,
                snapshotName: exported.text(0, 0),
                madeSlot: !slotExists,
                slotName: name
            )
        } catch let error as PostgresError {
            throw WalrelayError(error, while: "making the replication slot \(slot)")
        }
    }

    /// The statement that makes a slot; a temporary one goes with its session and is not copied.
    ///
    /// `failover` needs 17, whose form of options is not known before 15.
    static func creation(of name: String, isTemporary: Bool, failover: Bool) -> String {
        let create = "CREATE_REPLICATION_SLOT \(SQL.identifier(name))"
        if isTemporary { return "\(create) TEMPORARY LOGICAL pgoutput USE_SNAPSHOT" }
        return failover
            ? "\(create) LOGICAL pgoutput (SNAPSHOT 'use', FAILOVER true)"
            : "\(create) LOGICAL pgoutput USE_SNAPSHOT"
    }

    private init(
        connection: consuming Connection,
        consistentPoint: LSN,
        snapshotName: String,
        madeSlot: Bool,
        slotName: String
    ) {
        self.connection = connection
        self.consistentPoint = consistentPoint
        self.snapshotName = snapshotName
        self.madeSlot = madeSlot
        self.slotName = slotName
    }
}

/// Says whom the making of a slot waits for: every transaction that was open and writing.
///
/// The server waits without a word, and statement_timeout does not end it; so a thread of ours
/// looks now and then who is in the way.
private final class SlotCreationWatch: Sendable {
    private let ended = StopSignal()

    init(
        parameters: ConnectionParameters,
        waitingPID: Int,
        log: Logger,
        waiting: @escaping @Sendable () -> Void,
        atLeast: (@Sendable (LSN) -> Void)?
    ) {
        let ended = ended
        startThread(named: "slot-watch") {
            if let atLeast {
                startThread(named: "slot-floor") {
                    try? Self.raise(atLeast, parameters, for: waitingPID, until: ended)
                }
            }
            while !ended.sleep(for: .seconds(5)) {
                // Waiting for a server that answers is no standstill; for one that does not, it is.
                guard
                    let waitedFor = try? Self.blockers(parameters, of: waitingPID, stop: ended)
                else { continue }
                waiting()
                guard !waitedFor.isEmpty else { continue }
                log.notice(
                    "making the slot waits for open transactions of the source",
                    metadata: ["code": "slot.waits", "sessions": "\(waitedFor)"]
                )
            }
        }
    }

    func end() { ended.request() }

    /// Says, as long as the slot waits for a transaction, where the WAL was just before.
    ///
    /// The slot is consistent at a record that lists the running transactions and none of those
    /// that it waits for. While it waits for one no such record can have been written yet; so it
    /// lies behind every position that was current before the wait was seen.
    private static func raise(
        _ atLeast: @Sendable (LSN) -> Void,
        _ parameters: ConnectionParameters,
        for pid: Int,
        until ended: StopSignal
    ) throws {
        let connection = try Connection.open(parameters.for(.monitor), stop: ended)
        while !ended.sleep(for: .milliseconds(500)) {
            let now = try connection.query("SELECT pg_catalog.pg_current_wal_insert_lsn()")
            let waits = try connection.query(
                "SELECT FROM pg_catalog.pg_locks WHERE pid = \(pid) AND NOT granted "
                    + "AND locktype = 'transactionid'"
            )
            if waits.count > 0, let lsn = LSN(now.text(0, 0)) { atLeast(lsn) }
        }
    }

    private static func blockers(
        _ parameters: ConnectionParameters,
        of pid: Int,
        stop: StopSignal
    ) throws -> String {
        let connection = try Connection.open(parameters.for(.monitor), stop: stop)
        return try OpenTransactions.holders(besides: pid, on: connection)
    }
}
