// SPDX-License-Identifier: Apache-2.0
//
// Where the stream waits for tables that are being copied beside it (rule 3): at the first change
// of one of them that may not be applied yet. Such a table has a floor here: a change that was
// committed before it is done with as the checkpoint says; one from there on waits.
//
//   floor          while
//   P < B          the slot that gives the point B is being made: B is not known, and known to lie
//                  at or after P; the floor may rise
//   B              the rows are copied as of B
//   none           the table is whole, or not copied at all

public import ChangeModel
import Synchronization

/// The tables that changes have to wait for; shared by the stream's reader and who copies them.
public final class CopyGate: Sendable {
    private let version = Atomic<Int>(0)
    private let state = Mutex<(oids: Set<UInt32>, floor: LSN)>(([], .zero))
    private let awaited = Atomic<UInt64>(0)
    private let told = Atomic(false)

    /// A gate at which nothing waits.
    public init() {}

    /// Has changes of these tables wait that were committed at `floor` or later.
    public func hold(_ oids: Set<UInt32>, from floor: LSN) {
        state.withLock { $0 = (oids, floor) }
        passed()
        version.add(1, ordering: .releasing)
    }

    /// Says that the tables' point lies at or after `floor`; never lowers it.
    public func raise(to floor: LSN) {
        state.withLock { $0.floor = max($0.floor, floor) }
    }

    /// Lets everything pass.
    public func clear() { hold([], from: .zero) }

    /// The commit of the transaction that the stream waits with; `nil` while it reads.
    public var waitingCommit: LSN? {
        let raw = awaited.load(ordering: .acquiring)
        return raw == 0 ? nil : LSN(raw)
    }

    /// Says that the sink has given up what it has of the transaction that the stream waits with.
    public func tell() { told.store(true, ordering: .releasing) }

    /// Whether the sink has nothing of the transaction that the stream waits with.
    var isTold: Bool { told.load(ordering: .acquiring) }

    /// Whether a stream that waits would wait no longer.
    public var mayPass: Bool {
        waitingCommit.map { commit in state.withLock { commit < $0.floor } } ?? false
    }

    /// The tables that are held, where that has changed since the caller looked last.
    func news(since seen: inout Int) -> Set<UInt32>? {
        let now = version.load(ordering: .acquiring)
        guard now != seen else { return nil }
        seen = now
        return state.withLock { $0.oids }
    }

    /// Whether a change of a table that is held may pass.
    func mayPass(_ oid: UInt32, committedAt commit: LSN) -> Bool {
        state.withLock { !$0.oids.contains(oid) || commit < $0.floor }
    }

    func wait(with commit: LSN) { awaited.store(commit.rawValue, ordering: .releasing) }

    func passed() {
        awaited.store(0, ordering: .releasing)
        told.store(false, ordering: .releasing)
    }
}

/// The stream has come to a change of a table whose rows are not all there.
struct CopyAwaited: Error {
    /// Where its transaction commits.
    var commit: LSN
}
