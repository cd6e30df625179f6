// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Sink
import Testing

@testable import NDJSONSink

@Suite struct NDJSONSinkTests {
    let folder: Folder

    init() throws {
        folder = try Folder()
    }

    @Test func `a fresh directory has no checkpoint and gets no file before it is written to`()
        throws
    {
        let sink = NDJSONSink(folder)
        #expect(try sink.open() == nil)
        #expect(try folder.eventFiles == [])
        try sink.close()
        #expect(!folder.exists("checkpoint.json"))
    }

    @Test func `a commit makes lines and checkpoint stand for the next start`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.put(1...3, at: 0x10)
        try sink.close()

        let next = NDJSONSink(folder)
        #expect(try next.open() == checkpoint(0x10))
        #expect(try folder.ids == [1, 2, 3])
        try next.put(4...4, at: 0x20)
        #expect(try folder.ids == [1, 2, 3, 4])
        #expect(try folder.eventFiles == ["000000000001.ndjson.open"])
        try next.close()
    }

    @Test func `what was written and not committed is gone after close`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.put(1...2, at: 0x10)
        try sink.write(batch(3...4))
        try sink.close()
        #expect(try folder.ids == [1, 2])
    }

    @Test func `the rest of a batch behind its committed count stays for a later commit`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.write(batch(1...5, committed: 2, checkpoint: checkpoint(0x10)))
        try sink.commit(checkpoint(0x10))
        #expect(try idsAfterRestart(of: folder) == [1, 2])

        // A batch in the middle of the transaction moves nothing.
        try sink.write(batch(6...7, committed: 0))
        try sink.commit(checkpoint(0x10))
        #expect(try idsAfterRestart(of: folder) == [1, 2])

        // The transaction ends without a change of its own in the batch.
        try sink.write(batch([], committed: 0, checkpoint: checkpoint(0x20)))
        try sink.commit(checkpoint(0x20))
        #expect(try idsAfterRestart(of: folder) == Array(1...7))
        try sink.close()
    }

    @Test func `rollback goes back to the last commit and writing goes on from there`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.put(1...2, at: 0x10)
        try sink.write(batch(3...4, committed: 1, checkpoint: checkpoint(0x20)))
        try sink.rollback()
        try sink.put(5...5, at: 0x20)
        #expect(try folder.ids == [1, 2, 5])
        try sink.close()
    }

    @Test func `a copy that is given up leaves no file`() throws {
        let sink = NDJSONSink(folder, rotate: 1)
        _ = try sink.open()
        try sink.put(1...2, at: 0x10)
        #expect(try sink.beginCopy([], types: []) == nil)
        try sink.writeCopied(batch(3...4))
        #expect(folder.exists("copied-000001.part"))
        sink.abandonCopy()
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(!left.contains { $0.hasSuffix(".part") }, "\(left)")
        try sink.put(5...5, at: 0x20)
        #expect(try folder.ids == [1, 2, 5])
        try sink.close()
    }

    @Test func `an empty commit moves the position and leaves the files alone`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.put(1...2, at: 0x10)
        var synced = 0
        try #require(sink.files).directory.fault = { operation in
            if operation == .sync { synced += 1 }
            return 0
        }
        try sink.write(batch([], checkpoint: checkpoint(0x20)))
        try sink.commit(checkpoint(0x20))
        #expect(synced == 1, "only the checkpoint is synced")
        try sink.close()
        let next = NDJSONSink(folder)
        #expect(try next.open()?.position == LSN(0x20))
        #expect(try folder.ids == [1, 2])
    }

    @Test func `a full file is followed by the next and sealed by the commit that covers it`()
        throws
    {
        let sink = NDJSONSink(folder, rotate: 1)
        _ = try sink.open()
        try sink.write(batch(1...2))
        #expect(
            try folder.eventFiles == [
                "000000000001.ndjson.open", "000000000002.ndjson.open", "000000000003.ndjson.open",
            ]
        )
        try sink.commit(checkpoint(0x10))
        #expect(
            try folder.eventFiles == [
                "000000000001.ndjson", "000000000002.ndjson", "000000000003.ndjson.open",
            ]
        )
        #expect(try folder.ids(in: "000000000002.ndjson") == [2])
        #expect(try folder.length("000000000003.ndjson.open") == 0)
        try sink.close()
        #expect(try idsAfterRestart(of: folder) == [1, 2])
    }

    @Test func `files stay near the size that was asked for`() throws {
        let sink = NDJSONSink(folder, rotate: 10_000)
        _ = try sink.open()
        try sink.put(1...1_000, at: 0x10)
        try sink.close()
        let sealed = try folder.eventFiles.filter { $0.hasSuffix(".ndjson") }
        #expect(sealed.count > 1)
        for name in sealed {
            let length = try folder.length(name)
            #expect(length >= 10_000 && length < 11_000, "\(name) has \(length) bytes")
        }
        #expect(try folder.ids == Array(1...1_000))
    }

    @Test func `a file that holds an open transaction's changes is not sealed`() throws {
        let sink = NDJSONSink(folder, rotate: 1)
        _ = try sink.open()
        try sink.write(batch(1...4, committed: 1, checkpoint: checkpoint(0x10)))
        try sink.commit(checkpoint(0x10))
        #expect(try folder.eventFiles.filter { $0.hasSuffix(".ndjson") } == ["000000000001.ndjson"])
        #expect(try folder.eventFiles.count == 5)

        try sink.rollback()
        #expect(try folder.eventFiles == ["000000000001.ndjson", "000000000002.ndjson.open"])
        try sink.put([9], at: 0x20)
        #expect(try folder.ids == [1, 9])
        try sink.close()
    }

    @Test func `a smaller rotation size ends a file that is already committed`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.put(1...2, at: 0x10)
        try sink.close()
        let next = NDJSONSink(folder, rotate: 1)
        _ = try next.open()
        // Nothing of this transaction is committed, but what stands before it is.
        try next.write(batch([3], committed: 0))
        try next.commit(checkpoint(0x10))
        #expect(try folder.eventFiles.first == "000000000001.ndjson")
        #expect(try idsAfterRestart(of: folder) == [1, 2])
        try next.close()
    }

    @Test func `a transaction that is larger than many files comes out whole`() throws {
        let sink = NDJSONSink(folder, rotate: 20_000)
        _ = try sink.open()
        for part in 0..<10 { try sink.write(batch(part * 500..<(part + 1) * 500, committed: 0)) }
        #expect(try folder.eventFiles.allSatisfy { $0.hasSuffix(".open") })
        #expect(try idsAfterRestart(of: folder) == [])
        try sink.write(batch([], checkpoint: checkpoint(0x10)))
        try sink.commit(checkpoint(0x10))
        try sink.close()
        #expect(try folder.ids == Array(0..<5_000))
        #expect(try folder.eventFiles.filter { $0.hasSuffix(".open") }.count == 1)
    }

    @Test func `of an unfinished snapshot stays what was committed, sealed where files are full`()
        throws
    {
        let sink = NDJSONSink(folder, rotate: 1)
        _ = try sink.open()
        try sink.beginSnapshot(checkpoint(0x10, .running))
        try sink.write(batch(1...3, kind: .read))
        var part = checkpoint(0x10, .running)
        part.copies = [
            TableCopy(
                oid: 7,
                point: LSN(0x10),
                progress: .keys(
                    column: "a\"\u{1}b",
                    KeyRanges([KeyRange(nil, -4), KeyRange(7, 9)])
                ),
                rows: 3,
                bytes: 40
            ), TableCopy(oid: 8, point: LSN(0x10), progress: .whole),
            TableCopy(oid: 9, point: LSN(1)),
        ]
        try sink.commit(part)
        #expect(try folder.eventFiles.first?.hasSuffix("1.ndjson") == true)
        try sink.write(batch(4...5, kind: .read))

        let copy = try folder.copy()
        let again = NDJSONSink(copy, rotate: 1)
        #expect(try again.open() == part)
        #expect(try copy.ids == [1, 2, 3])
        try again.resumeSnapshot(part)
        try again.prepare([], types: [])
        try again.write(batch(4...6, committed: 0, kind: .read))
        try again.commit(checkpoint(0x20))
        try again.close()
        #expect(try copy.ids == [1, 2, 3, 4, 5, 6])

        try sink.close()
        #expect(try folder.ids == [1, 2, 3])
    }

    @Test func `snapshot rows are part of the next commit whatever the committed count`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.beginSnapshot(checkpoint(0x10, .running))
        try sink.write(batch(1...3, committed: 0, kind: .read))
        try sink.commit(checkpoint(0x10))
        try sink.close()
        #expect(try idsAfterRestart(of: folder) == [1, 2, 3])
    }

    @Test func `a snapshot keeps what an earlier one left`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.put(1...2, at: 0x10)
        try sink.beginSnapshot(checkpoint(0x20, .running))
        try sink.write(batch(3...4, kind: .read))
        try sink.rollback()
        #expect(try folder.ids == [1, 2])
        try sink.close()
    }

    @Test func `another task's checkpoint is given back as it is`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        var other = checkpoint(0x10)
        other.task = "invoices"
        try sink.write(batch(1...1))
        try sink.commit(other)
        try sink.close()
        #expect(try NDJSONSink(folder).open()?.task == "invoices")
    }

    @Test func `removing the checkpoint keeps and seals the data`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.put(1...2, at: 0x10)
        try sink.write(batch(3...3))
        try sink.removeCheckpoint()
        #expect(try folder.eventFiles == ["000000000001.ndjson"])
        #expect(try folder.ids == [1, 2])

        let next = NDJSONSink(folder)
        #expect(try next.open() == nil)
        try next.put(4...4, at: 0x30)
        #expect(try folder.eventFiles == ["000000000001.ndjson", "000000000002.ndjson.open"])
        try next.close()
    }

    @Test func `statistics tell bytes, commits and the file`() throws {
        let sink = NDJSONSink(folder)
        #expect(sink.statistics == SinkStatistics())
        _ = try sink.open()
        try sink.put(1...2, at: 0x10)
        let length = try folder.length("000000000001.ndjson.open")
        #expect(sink.statistics.bytesWritten == UInt64(length))
        #expect(sink.statistics.commits == 1)
        #expect(sink.statistics.details["file"] == "000000000001.ndjson.open")
        #expect(sink.statistics.details["length"] == String(length))
        try sink.close()
    }

    @Test func `a sink that is not open refuses to be used`() throws {
        let sink = NDJSONSink(folder)
        #expect(code { try sink.write(batch(1...1)) } == "sink.call_order")
        #expect(code { try sink.commit(checkpoint(1)) } == "sink.call_order")
        #expect(code { try sink.rollback() } == "sink.call_order")
        try sink.close()
        _ = try sink.open()
        #expect(code { _ = try sink.open() } == "sink.call_order")
        try sink.close()
        try sink.close()
    }
}
