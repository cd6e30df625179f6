// SPDX-License-Identifier: Apache-2.0
//
// Tables on their way into a task that is running, on a thread of its own:
//
//   a temporary slot's point B, and its snapshot ─▶ wait for leave ─▶ rows at B into a queue, or
//                                                                     past it into lanes
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
    let work: AdditionWork
    private let worker: Worker<Void>
    /// Whether the runner has given leave to copy.
    var isCopying = false
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

    /// The tables' OIDs.
    let oids: Set<UInt32>
    /// Their names, for people.
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
    private let found = Mutex<Taken?>(nil)
    private let leave = Mutex<Leave?>(nil)
    private let leaveGiven = Wakeup()

    private struct Leave {
        var lanes: (any CopyLanes)?
    }

    /// Nothing is begun.
    ///
    /// Changes that were committed from the server's present position on wait at the runner's gate.
    /// `arrived` rings for batches.
    init(
        of tables: [Relation],
        followsStream: Bool,
        arrived: Wakeup,
        runner: TaskRunner,
        on control: borrowing Connection
    ) throws {
        oids = Set(tables.map(\.oid))
        names = Prose.list(tables.map(\.qualifiedName))
        self.followsStream = followsStream
        self.runner = runner
        options = runner.options
        gate = runner.gate
        queue = BatchQueue(capacity: 4, arrived: arrived)
        let row = try control.query("SELECT pg_catalog.pg_current_wal_insert_lsn()")
        gate.hold(oids, from: LSN(row.text(0, 0)) ?? .zero)
    }

    /// The snapshot, once the slot is made.
    var taken: Taken? { found.withLock { $0 } }

    /// Lets the copying begin.
    func giveLeave(lanes: (any CopyLanes)?) {
        leave.withLock { $0 = Leave(lanes: lanes) }
        leaveGiven.ring()
    }

    /// Makes the slot, waits for leave and copies; blocks.
    func run() throws {
        let board = runner.board
        board.begin(.snapshot)
        defer { board.end(.snapshot) }
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
        var given: Leave?
        while given == nil {
            if ending.isRequested { throw CancellationError() }
            board.beat(.snapshot)
            leaveGiven.wait(for: .milliseconds(200))
            given = leave.withLock { $0 }
        }
        try copy(taken, snapshot, lanes: given?.lanes)
    }

    private func look(at snapshot: borrowing SlotSnapshot) throws -> Taken {
        let tables = try SourceCatalog.tables(options.tables, on: snapshot.connection)
            .filter { oids.contains($0.relation.oid) }
        guard tables.count == oids.count else {
            throw WalrelayError(
                "snapshot.tables_changed",
                exit: .unreachable,
                "A table of \(names) was dropped or renamed while its copying began",
                hint: "reload the settings to try again",
                isTransient: true
            )
        }
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
