// SPDX-License-Identifier: Apache-2.0
//
// Tables on their way into a task that is running, on a thread of its own:
//
//   wait for the transactions that were open ─▶ leave ─▶ a temporary slot's point B, its snapshot
//   ─▶ leave ─▶ rows at B into a queue, or past it into lanes
//
// Beside it the stream goes on for all other tables. What has to be done in order with it (who
// writes where, what the checkpoint says) is the runner's: AdditionPhase.

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink
import Snapshot
import Synchronization

/// The copying of tables beside a stream.
struct TableAddition {
    /// What is due next, on the runner's side.
    enum Stage {
        /// Transactions that were open when the tables were published have not all been streamed.
        case settling
        /// The point at which the rows are read is not known.
        case taking
        /// Rows are read and written.
        case copying
    }

    let work: AdditionWork
    private let worker: Worker<Void>
    var stage = Stage.settling
    /// What the sink has refused of the rows; the tables are given up with the session.
    var fault: WalrelayError?
    /// Whether the sink was told that the stream waits.
    var isWaitTold = false

    /// Begins on a thread of its own.
    init(_ work: AdditionWork) {
        self.work = work
        worker = Worker(named: "addition") {
            defer { work.queue.finish() }
            try work.run()
        }
    }

    /// Whether every row was handed over, or something failed.
    var hasEnded: Bool { worker.hasEnded }

    /// Throws what went wrong; to be called once the work has ended.
    func result() throws { try worker.join(beat: {}) }

    /// Ends the work, whatever it is at; blocks until its connections are closed.
    func abandon(beat: () -> Void) {
        work.ending.request()
        work.queue.finish()
        while work.queue.next(within: .zero) != nil {}
        _ = try? worker.join(beat: beat)
    }
}

/// What the thread of an addition does, and what it shares with the runner.
final class AdditionWork: Sendable {
    /// What the slot's snapshot shows.
    struct Taken: Sendable {
        /// The rows are read as of here.
        var point: LSN
        /// The tables, with their sizes.
        var tables: [SourceTable]
        var types: TypeCatalog
    }

    /// What is known once the transactions that were open have ended.
    struct Settled {
        /// All of them lie before.
        var point: LSN
        /// The tables that are taken without their rows, as of then.
        var bare: [Relation]
        var types: TypeCatalog
    }

    /// The OIDs of the tables whose rows are copied.
    let oids: Set<UInt32>
    /// Those of tables of which only changes are taken.
    let bare: Set<UInt32>
    /// The names of all of them, for people.
    let names: String
    /// Whether something of the tables was seen already, so that the stream has to bring them to the
    /// point before a row is written.
    let followsStream: Bool
    /// Rows on their way to the sink.
    let queue: BatchQueue
    let ending = StopSignal()
    private let gate: CopyGate
    private let runner: TaskRunner
    private let options: TaskOptions
    private let writers: OpenTransactions
    private let settlement = Mutex<Settled?>(nil)
    private let found = Mutex<Taken?>(nil)
    private let leave = Mutex(Leave())
    private let leaveGiven = Wakeup()

    private struct Leave {
        var toTake = false
        /// `nil` inside: there are none, and rows go into the queue.
        var lanes: (any CopyLanes)??
    }

    /// Nothing is begun.
    ///
    /// To be called once all of the tables are published. `arrived` rings for batches.
    init(
        of tables: [Relation],
        bare: [Relation],
        followsStream: Bool,
        arrived: Wakeup,
        runner: TaskRunner,
        on control: borrowing Connection
    ) throws {
        oids = Set(tables.map(\.oid))
        self.bare = Set(bare.map(\.oid))
        names = Prose.list((tables + bare).map(\.qualifiedName))
        self.followsStream = followsStream
        self.runner = runner
        options = runner.options
        gate = runner.gate
        queue = BatchQueue(capacity: 4, arrived: arrived)
        writers = try OpenTransactions(on: control)
    }

    /// Where a session of the stream has to begin that is to be trusted with the tables.
    var settled: Settled? { settlement.withLock { $0 } }

    /// The snapshot, once the slot is made.
    var taken: Taken? { found.withLock { $0 } }

    /// Lets the slot be made; nothing that was committed before it is to come to the tables.
    func giveLeaveToTake() {
        leave.withLock { $0.toTake = true }
        leaveGiven.ring()
    }

    /// Lets the copying begin.
    func giveLeave(lanes: (any CopyLanes)?) {
        leave.withLock { $0.lanes = .some(lanes) }
        leaveGiven.ring()
    }

    /// Waits, makes the slot and copies, the latter two when it has leave; blocks.
    func run() throws {
        let board = runner.board
        board.begin(.snapshot)
        defer { board.end(.snapshot) }
        try settle()
        guard !oids.isEmpty else { return }
        try awaitLeave { $0.toTake ? true : nil }
        let snapshot = try SlotSnapshot.take(
            slot: options.slot,
            slotExists: true,
            on: runner.slots.primary,
            parameters: options.source,
            stop: ending,
            log: runner.log,
            waiting: { board.beat(.snapshot) },
            atLeast: { [gate] in gate.raise(to: $0) }
        )
        let taken = try look(at: snapshot)
        gate.raise(to: taken.point)
        found.withLock { $0 = taken }
        try copy(taken, snapshot, lanes: awaitLeave { $0.lanes })
    }

    /// Waits for the end of all transactions that were open when the tables were published.
    private func settle() throws {
        let connection = try Connection.open(options.source.for(.catalog), stop: ending)
        try runner.slots.primary?.verify(on: connection)
        var nextNotice = ContinuousClock.now + .seconds(5)
        while try !writers.haveEnded(on: connection) {
            runner.board.beat(.snapshot)
            if ending.sleep(for: .milliseconds(100)) { throw CancellationError() }
            guard ContinuousClock.now > nextNotice else { continue }
            nextNotice = .now + .seconds(5)
            let sessions = try OpenTransactions.holders(on: connection)
            runner.log.notice(
                "the addition waits for open transactions of the source",
                metadata: ["code": "addition.waits", "sessions": "\(sessions)"]
            )
        }
        let relations = bare.isEmpty ? [] : try find(bare, on: connection).map(\.relation)
        let settled = Settled(
            point: try CommittedPosition.now(on: connection, stop: ending),
            bare: relations,
            types: try TaskRunner.types(of: relations, on: connection)
        )
        settlement.withLock { $0 = settled }
    }

    @discardableResult
    private func awaitLeave<Given>(_ given: (Leave) -> Given?) throws -> Given {
        while true {
            if let leave = leave.withLock({ given($0) }) { return leave }
            if ending.isRequested { throw CancellationError() }
            runner.board.beat(.snapshot)
            leaveGiven.wait(for: .milliseconds(200))
        }
    }

    private func find(
        _ oids: Set<UInt32>,
        measured: Bool = false,
        on connection: borrowing Connection
    ) throws -> [SourceTable] {
        let tables = try SourceCatalog.tables(options.tables, measured: measured, on: connection)
            .filter { oids.contains($0.relation.oid) }
        guard tables.count == oids.count else {
            throw WalrelayError(
                "snapshot.tables_changed",
                exit: .unreachable,
                "A table of \(names) was dropped or renamed while its copying began",
                hint: "nothing has to be done: the task tries again with the tables that are there",
                isTransient: true
            )
        }
        return tables
    }

    private func look(at snapshot: borrowing SlotSnapshot) throws -> Taken {
        let tables = try find(oids, measured: true, on: snapshot.connection)
        return Taken(
            point: snapshot.consistentPoint,
            tables: tables,
            types: try TaskRunner.types(of: tables.map(\.relation), on: snapshot.connection)
        )
    }

    private func copy(
        _ taken: Taken,
        _ snapshot: consuming SlotSnapshot,
        lanes: (any CopyLanes)?
    ) throws {
        let isImported = Atomic(false)
        let board = runner.board
        let copier = SnapshotCopier(
            parameters: options.source,
            request: runner.request(
                taken.tables,
                types: taken.types,
                taken: snapshot,
                after: []
            ),
            outlet: SnapshotOutlet(
                lanes: lanes,
                deliver: { [queue, ending] batch in
                    board.beat(.snapshot)
                    try queue.put(batch, stop: ending)
                },
                recycled: { [queue] in queue.spare() },
                imported: { isImported.store(true, ordering: .releasing) },
                progress: { board.update($0) },
                passed: { rows in
                    board.beat(.snapshot)
                    board.addChanges(rows, transactions: 0)
                }
            )
        )
        let copying = Worker(named: "copier") { [ending] in try copier.run(stop: ending) }
        var export: SlotSnapshot? = consume snapshot
        while !copying.hasEnded {
            // Once all have joined the snapshot nobody needs the transaction that made it.
            if isImported.load(ordering: .acquiring) { export = nil }
            board.beat(.snapshot)
            ending.sleep(for: .milliseconds(100))
            if ending.isRequested { break }
        }
        try copying.join { board.beat(.snapshot) }
        _ = export.take()
    }
}
