// SPDX-License-Identifier: Apache-2.0
//
// A random run of writes, commits, rollbacks, kills and faults against a model that is two lists:
// what is committed and what is only written. The seed is fixed and printed with a failure.

import ChangeModel
import Glibc
import Sink
import Support
import Synchronization
import Testing

@testable import NDJSONSink

@Suite struct ModelTests {
    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func `whatever happens, a restart finds exactly what was committed`(seed: UInt64) throws {
        var run = try ModelRun(seed: seed)
        for step in 0..<150 {
            let action = try run.step()
            let found = try run.idsAfterKill()
            #expect(found == run.committed, "seed \(seed), step \(step): \(action)")
            try #expect(run.sealed() == run.sealedBefore, "seed \(seed), step \(step): \(action)")
            try run.noteSealed()
        }
        try run.sink.close()
        #expect(try run.folder.ids == run.committed, "seed \(seed)")
    }
}

private struct ModelRun {
    var folder: Folder
    var sink: NDJSONSink
    var random: SeededGenerator
    /// Ids that a checkpoint covers, in order.
    var committed: [Int] = []
    /// Ids behind them that belong to ended transactions.
    var ended: [Int] = []
    /// Ids behind those, of the transaction that goes on.
    var open: [Int] = []
    var position: UInt64 = 0x10
    var nextID = 1
    /// The content of the sealed files that were there after the step before.
    var sealedBefore: [String: [Int]] = [:]

    init(seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        folder = try Folder(in: Folder.memory)
        sink = NDJSONSink(folder)
        try reopen()
    }

    mutating func reopen() throws {
        // A rotation size of its own each time, down to a file for each event.
        let rotate = [1, 700, 3_000, 1 << 30].randomElement(using: &random) ?? 1
        sink = NDJSONSink(folder, rotate: Int64(rotate), supervisor: TestSupervisor { _, _ in })
        let found = try sink.open()
        #expect(found?.position == (committed.isEmpty && position == 0x10 ? nil : LSN(position)))
        (ended, open) = ([], [])
    }

    mutating func step() throws -> String {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<50: return try write()
        case 50..<75: return try commit()
        case 75..<82:
            try sink.rollback()
            (ended, open) = ([], [])
            return "rollback"
        case 82..<88:
            try sink.close()
            try reopen()
            return "close and open"
        case 88..<94:
            // A kill: the files as they are, the lock gone with the process.
            folder = try folder.copy()
            try reopen()
            return "kill"
        default: return try commitWithFault()
        }
    }

    private mutating func write() throws -> String {
        let ids = Array(nextID..<nextID + Int.random(in: 0...12, using: &random))
        nextID += ids.count
        let ends = Bool.random(using: &random)
        let whole = ends ? Int.random(in: 0...ids.count, using: &random) : 0
        let value = batch(ids, committed: whole, checkpoint: ends ? checkpoint(position + 8) : nil)
        try sink.write(value)
        if ends {
            ended += open + ids[..<whole]
            open = []
        }
        open += ids[whole...]
        return "write \(ids), \(whole) committed, ends: \(ends)"
    }

    private mutating func commit() throws -> String {
        position += 8
        try sink.commit(checkpoint(position))
        committed += ended
        ended = []
        return "commit"
    }

    private mutating func commitWithFault() throws -> String {
        let directory = try #require(sink.files).directory
        let code = [EIO, ENOSPC, -1].randomElement(using: &random) ?? EIO
        let countdown = Mutex(Int.random(in: 1...8, using: &random))
        directory.fault = { operation in
            let now = countdown.withLock { count in
                count -= 1
                return count == 0
            }
            return now && (code != -1 || operation == .write) ? code : 0
        }
        defer { directory.fault = nil }
        do {
            try sink.commit(checkpoint(position + 8))
            position += 8
            committed += ended
            ended = []
        } catch {
            directory.fault = nil
            try sink.rollback()
            (ended, open) = ([], [])
        }
        return "commit with fault \(code)"
    }

    /// What a process that starts after a kill right now would find.
    func idsAfterKill() throws -> [Int] {
        try idsAfterRestart(of: folder)
    }

    /// The sealed files of the step before, as they are now.
    func sealed() throws -> [String: [Int]] {
        var now: [String: [Int]] = [:]
        for name in sealedBefore.keys { now[name] = try folder.ids(in: name) }
        return now
    }

    mutating func noteSealed() throws {
        for name in try folder.eventFiles where name.hasSuffix(".ndjson") {
            if sealedBefore[name] == nil { sealedBefore[name] = try folder.ids(in: name) }
        }
    }
}
