// SPDX-License-Identifier: Apache-2.0
//
// What the tests of this room share: a directory of their own, batches of one-column rows that are
// told apart by their id, and a supervisor that does as the test says.

import ChangeModel
import Foundation
import Logging
import Sink
import Synchronization

@testable import NDJSONSink

/// A directory that goes with the test, and what stands in it.
final class Folder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "walrelay-sink-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: path,
            withIntermediateDirectories: false
        )
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// The names of the event files, in order.
    var eventFiles: [String] {
        get throws {
            try FileManager.default.contentsOfDirectory(atPath: path)
                .filter { EventFileName(parsing: $0) != nil }.sorted()
        }
    }

    /// The ids of the events in the event files, file after file.
    var ids: [Int] {
        get throws { try eventFiles.flatMap { try ids(in: $0) } }
    }

    /// The ids of the events of one file.
    func ids(in name: String) throws -> [Int] {
        try eventIDs(in: read(name))
    }

    func read(_ name: String) throws -> String {
        try String(contentsOfFile: path + "/" + name, encoding: .utf8)
    }

    func write(_ text: String, to name: String) throws {
        try text.write(toFile: path + "/" + name, atomically: false, encoding: .utf8)
    }

    func append(_ text: String, to name: String) throws {
        try write(exists(name) ? read(name) + text : text, to: name)
    }

    func exists(_ name: String) -> Bool {
        FileManager.default.fileExists(atPath: path + "/" + name)
    }

    func length(_ name: String) throws -> Int {
        try read(name).utf8.count
    }

    /// Another directory with the same content.
    func copy() throws -> Folder {
        let other = try Folder()
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            try FileManager.default.copyItem(
                atPath: path + "/" + name,
                toPath: other.path + "/" + name
            )
        }
        return other
    }
}

/// The ids of the new rows in a run of event lines, each of which must be a whole JSON object.
func eventIDs(in text: String) throws -> [Int] {
    struct Event: Decodable {
        struct Row: Decodable { let id: Int }
        let after: Row
    }
    return try text.split(separator: "\n", omittingEmptySubsequences: true).map {
        try JSONDecoder().decode(Event.self, from: Data($0.utf8)).after.id
    }
}

/// A supervisor whose waiting is a closure; by default it throws what it is given.
final class TestSupervisor: SinkSupervisor {
    private let waiting: @Sendable (WalrelayError, Int) throws -> Void
    private let seen = Mutex<[String]>([])

    init(
        _ waiting: @escaping @Sendable (WalrelayError, Int) throws -> Void = { error, _ in
            throw error
        }
    ) {
        self.waiting = waiting
    }

    /// `code attempt` of each wait so far.
    var waits: [String] { seen.withLock { $0 } }

    func waitBeforeRetry(of error: WalrelayError, attempt: Int) throws {
        seen.withLock { $0.append("\(error.code) \(attempt)") }
        try waiting(error, attempt)
    }
}

let items = RelationVersion(
    relation: Relation(
        oid: 16_400,
        schema: "public",
        name: "items",
        replicaIdentity: .default,
        columns: [Column(name: "id", typeOID: 23, isKey: true)]
    ),
    types: [.integer],
    version: 1
)

/// A batch of one-column rows, the first `committed` of which belong to a transaction that ends.
func batch(
    _ ids: some Sequence<Int>,
    committed: Int? = nil,
    kind: ChangeKind = .insert,
    checkpoint: Checkpoint? = nil,
    padding: Int = 0
) -> ChangeBatch {
    var batch = ChangeBatch()
    batch.relations = [items]
    batch.transactions = [
        Transaction(xid: 7, commitLSN: LSN(0x500), commitTime: PostgresTime(microseconds: 0))
    ]
    batch.bytes = Array(repeating: 0, count: padding)
    for id in ids {
        let text = Array(String(id).utf8)
        batch.cells.append(Cell(offset: UInt32(batch.bytes.count), length: Int32(text.count)))
        batch.bytes += text
        let index = batch.changes.count
        batch.changes.append(
            Change(
                kind: kind,
                old: .none,
                relation: 0,
                transaction: 0,
                newCells: UInt32(index),
                oldCells: 0,
                lsn: LSN(0x400),
                ordinal: UInt64(index + 1),
                relationOrdinal: UInt64(index + 1)
            )
        )
    }
    batch.committedCount = committed ?? batch.changes.count
    batch.committedTransactions = batch.committedCount > 0 ? 1 : 0
    batch.checkpoint = checkpoint
    return batch
}

/// A checkpoint at a position.
func checkpoint(_ position: UInt64, _ snapshot: Checkpoint.SnapshotState = .complete) -> Checkpoint
{
    Checkpoint(
        task: "orders",
        systemIdentifier: "7301234567890123456",
        database: "shop",
        slot: "di_slot_orders",
        position: LSN(position),
        snapshot: snapshot,
        snapshotLSN: LSN(0x100),
        relations: [items.relation]
    )
}

extension NDJSONSink {
    /// A sink on a folder, not yet open.
    convenience init(
        _ folder: Folder,
        rotate: Int64 = 1 << 30,
        supervisor: TestSupervisor = TestSupervisor()
    ) {
        self.init(
            Options(
                directory: folder.path,
                rotateBytes: rotate,
                format: ValueFormat(),
                task: "orders",
                database: "shop",
                version: "0.0.0"
            ),
            supervisor: supervisor
        )
    }

    /// Writes rows and commits them.
    func put(_ ids: some Sequence<Int>, at position: UInt64) throws {
        try write(batch(ids))
        try commit(checkpoint(position))
    }
}

/// The error's code, or what came instead.
func code(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no error"
    } catch let error as WalrelayError {
        return error.code
    } catch {
        return "\(type(of: error))"
    }
}

/// The walrelay error that `body` throws.
func walrelayError(_ body: () throws -> Void) throws -> WalrelayError? {
    do {
        try body()
        return nil
    } catch let error as WalrelayError {
        return error
    }
}

/// What a process that starts now on a copy of the folder would find.
func idsAfterRestart(of folder: Folder) throws -> [Int] {
    let copy = try folder.copy()
    let sink = NDJSONSink(copy)
    _ = try sink.open()
    try sink.close()
    return try copy.ids
}
