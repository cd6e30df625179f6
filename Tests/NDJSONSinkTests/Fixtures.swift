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
    /// A file system in memory, for tests whose many syncs would only cost time.
    static let memory =
        FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm/" : temporary
    static let temporary = NSTemporaryDirectory()

    let path: String
    private let base: String

    init(in base: String = Folder.temporary) throws {
        self.base = base
        path = base + "walrelay-sink-\(UUID().uuidString)"
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

    /// Another directory with the same content; what never changes is shared, to be quick.
    func copy() throws -> Folder {
        let other = try Folder(in: base)
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            let (from, to) = (path + "/" + name, other.path + "/" + name)
            if name.hasSuffix(".ndjson") {
                try FileManager.default.linkItem(atPath: from, toPath: to)
            } else {
                try FileManager.default.copyItem(atPath: from, toPath: to)
            }
        }
        return other
    }
}

/// The ids of the new rows in a run of event lines; throws where a line is not whole.
///
/// Looks for `"after":{"id":…` only: whether a line is sound JSON is the encoder's tests' affair.
func eventIDs(in text: String) throws -> [Int] {
    let marker = Array("\"after\":{\"id\":".utf8)
    var lines = Array(text.utf8).split(
        separator: UInt8(ascii: "\n"),
        omittingEmptySubsequences: false
    )
    guard lines.removeLast().isEmpty else { throw BrokenLine(text: "no line end") }
    return try lines.map { line in
        var rest = line[...]
        while !rest.isEmpty, !rest.starts(with: marker) { rest = rest.dropFirst() }
        let digits = rest.dropFirst(marker.count).prefix { (0x30...0x39).contains($0) }
        guard line.first == UInt8(ascii: "{"), line.last == UInt8(ascii: "}"),
            let id = Int(String(decoding: digits, as: UTF8.self))
        else { throw BrokenLine(text: String(decoding: line, as: UTF8.self)) }
        return id
    }
}

/// A line that is not an event of the tests' table.
struct BrokenLine: Error {
    let text: String
}

/// A supervisor whose waiting is a closure; by default it throws what it is given.
final class TestSupervisor: SinkSupervisor {
    private let waiting: @Sendable (WalrelayError, Int) throws -> Void
    private let goesOn: @Sendable () -> Bool
    private let seen = Mutex<[String]>([])

    init(_ waiting: @escaping @Sendable (WalrelayError, Int) throws -> Void) {
        self.waiting = waiting
        goesOn = { true }
    }

    init(goesOn: @escaping @Sendable () -> Bool = { true }) {
        waiting = { error, _ in throw error }
        self.goesOn = goesOn
    }

    func keepWaiting() -> Bool { goesOn() }

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
