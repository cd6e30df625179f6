// SPDX-License-Identifier: Apache-2.0
//
// Every state that a kill can leave on the disk, built by hand, and what a start makes of it.

import ChangeModel
import Foundation
import Sink
import Testing

@testable import NDJSONSink

@Suite struct RecoveryTests {
    /// Three committed events, each in a file of its own: 1 and 2 sealed, 3 sealed, 4 open.
    let folder: Folder

    init() throws {
        folder = try Folder()
        let sink = NDJSONSink(folder, rotate: 1)
        _ = try sink.open()
        try sink.put(1...3, at: 0x10)
        try sink.close()
    }

    private func open() throws -> Checkpoint? {
        let sink = NDJSONSink(folder, rotate: 1)
        defer { try? sink.close() }
        return try sink.open()
    }

    private func unseal(_ number: UInt64) throws {
        try FileManager.default.moveItem(
            atPath: folder.path + "/" + EventFileName(number: number, isSealed: true).text,
            toPath: folder.path + "/" + EventFileName(number: number, isSealed: false).text
        )
    }

    private func remove(_ name: String) throws {
        try FileManager.default.removeItem(atPath: folder.path + "/" + name)
    }

    @Test func `killed after writing: the tail is cut`() throws {
        try folder.append("{\"after\":{\"id\":4}}\n{\"aft", to: "000000000004.ndjson.open")
        #expect(try open() == checkpoint(0x10))
        #expect(try folder.ids == [1, 2, 3])
        #expect(try folder.length("000000000004.ndjson.open") == 0)
    }

    @Test func `killed behind a rotation: the files behind the checkpoint are removed`() throws {
        try folder.append("{\"after\":{\"id\":4}}\n", to: "000000000004.ndjson.open")
        try folder.write("{\"after\":{\"id\":5}}\n", to: "000000000005.ndjson.open")
        try folder.write("", to: "000000000006.ndjson.open")
        _ = try open()
        #expect(try folder.ids == [1, 2, 3])
        #expect(try folder.eventFiles.last == "000000000004.ndjson.open")
    }

    @Test func `killed before sealing: what the checkpoint covers is sealed`() throws {
        try unseal(2)
        try unseal(3)
        _ = try open()
        #expect(
            try folder.eventFiles == [
                "000000000001.ndjson", "000000000002.ndjson", "000000000003.ndjson",
                "000000000004.ndjson.open",
            ]
        )
    }

    @Test func `killed before the checkpoint was renamed: the old one holds`() throws {
        let newer = try folder.read("checkpoint.json").replacingOccurrences(
            of: "0/10",
            with: "0/99"
        )
        try folder.write(newer, to: "checkpoint.json.tmp")
        #expect(try open()?.position == LSN(0x10))
        #expect(!folder.exists("checkpoint.json.tmp"))
    }

    @Test func `killed while the temporary checkpoint was written: it is removed`() throws {
        try folder.write("{\"version\":1,", to: "checkpoint.json.tmp")
        #expect(try open() == checkpoint(0x10))
        #expect(!folder.exists("checkpoint.json.tmp"))
    }

    @Test func `power lost before the empty open file was durable: it is made again`() throws {
        try remove("000000000004.ndjson.open")
        let sink = NDJSONSink(folder)
        #expect(try sink.open() == checkpoint(0x10))
        try sink.put(4...4, at: 0x20)
        try sink.close()
        #expect(try folder.ids == [1, 2, 3, 4])
    }

    @Test func `killed before the first commit: nothing of it stays`() throws {
        let fresh = try Folder()
        let sink = NDJSONSink(fresh, rotate: 1)
        _ = try sink.open()
        try sink.write(batch(1...2))
        let copy = try fresh.copy()
        let next = NDJSONSink(copy)
        #expect(try next.open() == nil)
        #expect(try copy.ids == [])
        try next.put(7...7, at: 0x10)
        try next.close()
        #expect(try copy.ids == [7])
        try sink.close()
    }

    @Test func `sealed files that a reader took away are not missed`() throws {
        try remove("000000000001.ndjson")
        try remove("000000000003.ndjson")
        #expect(try open() == checkpoint(0x10))
        #expect(try folder.ids == [2])
    }

    @Test func `other files in the directory are left alone`() throws {
        let names = ["notes.txt", "1.ndjson.open", "000000000009.ndjson.open.bak", "x.ndjson"]
        for name in names { try folder.write("kept", to: name) }
        _ = try open()
        for name in names { #expect(try folder.read(name) == "kept") }
    }

    @Test func `an open file that is shorter than the checkpoint is refused untouched`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.put(4...5, at: 0x20)
        try sink.close()
        let length = try folder.length("000000000004.ndjson.open")
        try folder.write("{}\n", to: "000000000004.ndjson.open")
        try folder.write("x", to: "000000000005.ndjson.open")
        let error = try #require(try walrelayError { _ = try open() })
        #expect(error.code == "sink.files_mismatch")
        #expect(error.exit == .checkpointMismatch)
        #expect(error.message.contains("000000000004.ndjson.open"))
        #expect(error.message.contains("expected at least \(length) bytes, found 3 bytes"))
        #expect(folder.exists("000000000005.ndjson.open"))
    }

    @Test func `an open file that is missing is refused`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.put(4...4, at: 0x20)
        try sink.close()
        try remove("000000000004.ndjson.open")
        let error = try #require(try walrelayError { _ = try open() })
        #expect(error.code == "sink.files_mismatch")
        #expect(error.message.contains("no such file"))
    }

    @Test func `a sealed file behind the checkpoint is refused untouched`() throws {
        try folder.write("{}\n", to: "000000000007.ndjson")
        #expect(code { _ = try open() } == "sink.files_mismatch")
        #expect(try folder.read("000000000007.ndjson") == "{}\n")
    }

    @Test func `a sealed file in the open one's place is taken only with the right length`() throws
    {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.put(4...4, at: 0x20)
        try sink.close()
        try FileManager.default.moveItem(
            atPath: folder.path + "/000000000004.ndjson.open",
            toPath: folder.path + "/000000000004.ndjson"
        )
        let next = NDJSONSink(folder)
        #expect(try next.open()?.position == LSN(0x20))
        try next.put(5...5, at: 0x30)
        try next.close()
        #expect(try folder.ids == [1, 2, 3, 4, 5])
        #expect(try folder.ids(in: "000000000005.ndjson.open") == [5])

        let document = try folder.read("checkpoint.json")
        try folder.write(
            document.replacingOccurrences(of: "000000000005", with: "000000000004"),
            to: "checkpoint.json"
        )
        try folder.append("{}\n", to: "000000000004.ndjson")
        #expect(code { _ = try open() } == "sink.files_mismatch")
    }

    @Test func `a sealed and an open file of one number are refused`() throws {
        try folder.write("{}\n", to: "000000000002.ndjson.open")
        #expect(code { _ = try open() } == "sink.files_mismatch")
        #expect(try folder.read("000000000002.ndjson.open") == "{}\n")
    }

    @Test func `events without a checkpoint are not taken for a new beginning`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        try sink.put(4...4, at: 0x20)
        try sink.close()
        try remove("checkpoint.json")
        let error = try #require(try walrelayError { _ = try open() })
        #expect(error.code == "sink.checkpoint_missing")
        #expect(error.exit == .checkpointMismatch)
        #expect(try folder.ids == [1, 2, 3, 4])
    }

    @Test(
        arguments: [
            ("000000000001.ndjson", 1, true), ("000000000012.ndjson.open", 12, false),
            ("999999999999.ndjson", 999_999_999_999, true),
        ] as [(String, UInt64, Bool)]
    )
    func `names of event files are read as they are written`(
        text: String,
        number: UInt64,
        sealed: Bool
    ) {
        let name = EventFileName(parsing: text)
        #expect(name == EventFileName(number: number, isSealed: sealed))
        #expect(name?.text == text)
    }

    @Test(arguments: [
        "", "000000000000.ndjson", "00000000001.ndjson", "0000000000001.ndjson",
        "+00000000001.ndjson", "000000000001.json", "000000000001.ndjson.tmp",
        "00000000000é.ndjson",
        "000000000001", ".ndjson.open",
    ])
    func `other names are not event files`(text: String) {
        #expect(EventFileName(parsing: text) == nil)
    }
}
