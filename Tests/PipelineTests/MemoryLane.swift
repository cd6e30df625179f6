// SPDX-License-Identifier: Apache-2.0
//
// Lanes in memory: rows of COPY's text format become the lines that batches would have become, a
// chunk at a time.

import ChangeModel
import LibPQ
import Sink
import Synchronization

final class MemoryLanes: CopyLanes {
    private let store: MemoryStore

    init(_ store: MemoryStore) {
        self.store = store
    }

    func open(keepWaiting: @escaping @Sendable () -> Bool) throws -> any CopyLane {
        try store.reach(.openLane)
        return MemoryLane(store, keepWaiting)
    }
}

final class MemoryLane: CopyLane {
    private let store: MemoryStore
    private let keepWaiting: @Sendable () -> Bool
    private var table: String?
    private var lines: [String] = []
    private var isAbandoned = false

    init(_ store: MemoryStore, _ keepWaiting: @escaping @Sendable () -> Bool) {
        self.store = store
        self.keepWaiting = keepWaiting
    }

    deinit {
        let isOpen = table != nil && !isAbandoned
        store.complain("a lane is gone in the middle of a chunk", if: isOpen)
    }

    func format(of relation: RelationVersion) throws -> CopyFormat { .text }

    func begin(_ relation: RelationVersion) throws {
        store.complain("begun twice, or after its end", if: table != nil || isAbandoned)
        table = relation.relation.name
        lines = []
        try store.reach(.beginChunk)
    }

    func take(_ bytes: UnsafeRawBufferPointer) throws {
        store.complain("a row of no chunk", if: table == nil || isAbandoned)
        store.waiting.add(1, ordering: .sequentiallyConsistent)
        let pause = StopSignal()
        while store.isBlocked.load(ordering: .acquiring) {
            guard keepWaiting() else {
                throw WalrelayError("stopped", exit: .success, "the lane was stopped")
            }
            pause.sleep(for: .milliseconds(5))
        }
        try store.reach(.take)
        let row = String(decoding: bytes, as: UTF8.self).dropLast()
        let values = row.split(separator: "\t", omittingEmptySubsequences: false)
        let line = values.map { $0 == #"\N"# ? "-" : String($0) }.joined(separator: ",")
        lines.append("read \(table ?? "?") \(line)")
    }

    func end(_ copied: TableCopy) throws {
        store.complain("ended without a beginning", if: table == nil || isAbandoned)
        try store.reach(.endChunk)
        store.state.withLock { state in
            state.lines += lines
            state.note(copied)
        }
        table = nil
    }

    func note(_ copied: TableCopy) throws {
        store.complain("a table whole within a chunk", if: table != nil || isAbandoned)
        store.state.withLock { $0.note(copied) }
    }

    func abandon() { isAbandoned = true }
}
