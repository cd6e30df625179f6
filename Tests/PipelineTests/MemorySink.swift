// SPDX-License-Identifier: Apache-2.0
//
// A sink in memory that fails when it is told to. `MemoryStore` is what would be on the disk: it
// outlives the sinks that are opened on it, and checks the order of calls.

import ChangeModel
import LibPQ
import Sink
import Support
import Synchronization

/// A place in a sink's life at which a test can make it fail.
enum FaultPoint: Hashable {
    case open
    case inspect
    case beginSnapshot
    case prepare
    case write
    /// Before anything is durable.
    case commit
    /// All is durable, and the caller does not learn it.
    case afterCommit
    case openLane
    case beginChunk
    case take
    case endChunk
    case idle

    /// What every snapshot comes to that is written in batches.
    static let ofBatches: [FaultPoint] = [
        .open, .inspect, .beginSnapshot, .prepare, .write, .commit, .afterCommit,
    ]
    /// What a snapshot comes to that goes through lanes.
    static let ofLanes: [FaultPoint] = [
        .open, .inspect, .beginSnapshot, .prepare, .openLane, .beginChunk, .take, .endChunk,
        .commit, .afterCommit,
    ]
}

/// What is durable, and which faults are still to come.
final class MemoryStore: Sendable {
    struct State {
        var lines: [String] = []
        /// The same as `lines`, for whoever wants to apply them.
        var events: [MemoryEvent] = []
        var checkpoint: Checkpoint?
        /// What the checkpoints have said of tables that were not whole, one after another.
        var copies: [TableCopy] = []
        var faults: [FaultPoint: [WalrelayError]] = [:]
        /// The points in the order in which they were come to, without repeats in a row.
        var points: [FaultPoint] = []
        var inspected: [Relation] = []
        var inspectedTypes: [TypeEntry] = []
        var prepared: [Relation] = []
        var isOpen = false
        var opens = 0
        var idles = 0
        /// Whatever a sink must not be asked to do.
        var complaints: [String] = []

        /// Takes note of what a lane has copied.
        mutating func note(_ copied: TableCopy) {
            guard var copy = checkpoint?.copy(of: copied.oid) else { return }
            copy.add(copied)
            checkpoint?.set(copy)
        }

        /// Throws away the lines of tables of which nothing counts, as `prepare` has to.
        mutating func discard(_ relations: [Relation]) {
            for relation in relations where checkpoint?.copy(of: relation.oid).progress == .nothing
            {
                lines.removeAll { $0.hasPrefix("read \(relation.name) ") }
            }
        }
    }

    let state = Mutex(State())
    let keepsCheckpoint: Bool
    let hasLanes: Bool
    /// Rows of a snapshot are durable, and seen, as soon as they are written.
    let showsUnfinishedSnapshots: Bool
    /// Where a transaction commits of which a part is said to be there.
    let part = Mutex<LSN?>(nil)
    /// Where the next unfinished transaction that is dropped is to be one of which a part stays:
    /// what is done at the source then.
    let leavingPart = Mutex<(@Sendable () throws -> Void)?>(nil)
    /// A snapshot may be begun over a finished one, as `--resnapshot` does.
    let mayBeginAnew: Bool
    /// While set, `write` and a lane's `take` wait as a full disk or a slow reader would make them.
    let isBlocked = Atomic(false)
    let waiting = Atomic(0)
    /// While set, a sink that is opened finds no checkpoint, as on a volume that is not mounted.
    let hidesCheckpoint = Atomic(false)
    let beforePoint: @Sendable (FaultPoint) throws -> Void
    let beforeCommit: @Sendable (LSN) throws -> Void

    init(
        keepsCheckpoint: Bool = true,
        hasLanes: Bool = false,
        showsUnfinishedSnapshots: Bool = false,
        mayBeginAnew: Bool = false,
        beforeCommit: @escaping @Sendable (LSN) throws -> Void = { _ in },
        beforePoint: @escaping @Sendable (FaultPoint) throws -> Void = { _ in }
    ) {
        self.keepsCheckpoint = keepsCheckpoint
        self.hasLanes = hasLanes
        self.showsUnfinishedSnapshots = showsUnfinishedSnapshots
        self.mayBeginAnew = mayBeginAnew
        self.beforePoint = beforePoint
        self.beforeCommit = beforeCommit
    }

    /// Makes the next hits of a point fail, one error each.
    func fail(_ point: FaultPoint, _ errors: WalrelayError...) {
        state.withLock { $0.faults[point, default: []] += errors }
    }

    var lines: [String] { state.withLock { $0.lines } }
    var checkpoint: Checkpoint? { state.withLock { $0.checkpoint } }
    var opens: Int { state.withLock { $0.opens } }
    var idles: Int { state.withLock { $0.idles } }
    var isOpen: Bool { state.withLock { $0.isOpen } }
    var complaints: [String] { state.withLock { $0.complaints } }
    var points: [FaultPoint] { state.withLock { $0.points } }
    var faultsLeft: Int { state.withLock { $0.faults.values.reduce(0) { $0 + $1.count } } }

    func reach(_ point: FaultPoint) throws {
        try beforePoint(point)
        let fault = state.withLock { state -> WalrelayError? in
            // Idle times come as they please and say nothing of the order.
            if point == .idle {
                state.idles += 1
            } else if state.points.last != point {
                state.points.append(point)
            }
            guard let errors = state.faults[point], let first = errors.first else { return nil }
            state.faults[point] = Array(errors.dropFirst())
            return first
        }
        if let fault { throw fault }
    }

    func complain(_ text: String, if isWrong: Bool) {
        if isWrong { state.withLock { $0.complaints.append(text) } }
    }
}

final class MemorySink: Sink {
    private let store: MemoryStore
    private let supervisor: any SinkSupervisor
    private var pending: [MemoryEvent] = []
    private var committable = 0
    /// Rows that were copied beside the stream.
    private var copied: [MemoryEvent] = []
    private(set) var statistics = SinkStatistics()

    init(_ store: MemoryStore, _ supervisor: any SinkSupervisor) {
        self.store = store
        self.supervisor = supervisor
    }

    var keepsCheckpoint: Bool { store.keepsCheckpoint }
    var showsUnfinishedSnapshots: Bool { store.showsUnfinishedSnapshots }
    var partCommit: LSN? { store.part.withLock { $0 } }

    func open() throws -> Checkpoint? {
        try store.reach(.open)
        return store.state.withLock { state in
            if state.isOpen { state.complaints.append("opened twice") }
            state.isOpen = true
            state.opens += 1
            let isSeen = store.keepsCheckpoint && !store.hidesCheckpoint.load(ordering: .acquiring)
            return isSeen ? state.checkpoint : nil
        }
    }

    func inspect(_ relations: [Relation], types: [TypeEntry]) throws {
        try store.reach(.inspect)
        store.state.withLock { ($0.inspected, $0.inspectedTypes) = (relations, types) }
    }

    func prepare(_ relations: [Relation], types: [TypeEntry]) throws {
        try store.reach(.prepare)
        store.state.withLock { state in
            state.prepared = relations
            if store.hasLanes { state.discard(relations) }
        }
    }

    var copyLanes: (any CopyLanes)? {
        let before: Set<FaultPoint> = [.afterCommit, .prepare]
        let isPrepared = store.points.last.map(before.contains) ?? false
        store.complain("lanes before prepare", if: !isPrepared)
        return store.hasLanes ? MemoryLanes(store) : nil
    }

    func beginSnapshot(_ checkpoint: Checkpoint) throws {
        try store.reach(.beginSnapshot)
        pending = []
        store.state.withLock { state in
            if state.checkpoint?.snapshot == .complete, !store.mayBeginAnew {
                state.complaints.append("a snapshot over a finished one")
            }
            let counts = store.showsUnfinishedSnapshots || state.checkpoint?.hasCopied ?? false
            if counts, state.checkpoint?.goesOn ?? false, !store.mayBeginAnew {
                state.complaints.append("a snapshot begun anew over rows that are seen")
            }
            if store.keepsCheckpoint, !store.showsUnfinishedSnapshots { state.lines = [] }
            state.checkpoint = checkpoint
        }
    }

    func write(_ batch: borrowing ChangeBatch) throws {
        store.waiting.add(1, ordering: .sequentiallyConsistent)
        let stop = StopSignal()
        while store.isBlocked.load(ordering: .acquiring) {
            guard supervisor.keepWaiting() else { throw CancellationError() }
            stop.sleep(for: .milliseconds(5))
        }
        try store.reach(.write)
        let events = batch.events
        if store.showsUnfinishedSnapshots, events.first?.kind == .read {
            store.show(events)
            return
        }
        committable = pending.count + batch.committedCount
        pending += events
    }

    func commit(_ checkpoint: Checkpoint) throws {
        try store.reach(.commit)
        try store.beforeCommit(store.checkpoint?.position ?? .zero)
        store.state.withLock { state in
            if let before = state.checkpoint, before.position > checkpoint.position {
                state.complaints.append("\(checkpoint.position) after \(before.position)")
            }
            state.checkpoint = checkpoint
            state.copies += checkpoint.copies
            state.add(pending.prefix(committable))
        }
        pending.removeFirst(committable)
        committable = 0
        try store.reach(.afterCommit)
    }

    func writeCopied(_ batch: borrowing ChangeBatch) throws {
        try store.reach(.write)
        if keepsCheckpoint {
            copied += batch.events
        } else {
            store.show(batch.events)
        }
    }

    func endCopy() throws {
        store.complain("a copy ends beside changes", if: !pending.isEmpty)
        (pending, committable, copied) = (copied, copied.count, [])
    }

    func abandonCopy() { copied = [] }

    func dropUnfinished() throws {
        try rollback()
        guard let leaving = store.leavingPart.withLock({ $0.take() }) else { return }
        let position = store.checkpoint?.position
        store.part.withLock { $0 = position }
        try leaving()
    }

    func idle() throws { try store.reach(.idle) }

    func rollback() throws {
        pending = []
        committable = 0
    }

    func close() throws {
        store.state.withLock { state in
            if !state.isOpen { state.complaints.append("closed while not open") }
            state.isOpen = false
        }
        pending = []
    }
}
