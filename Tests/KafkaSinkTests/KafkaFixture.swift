// SPDX-License-Identifier: Apache-2.0
//
// What the tests of this room share: one broker, topics below a prefix of each test's own, batches
// of rows of a two-column table, and a supervisor that does as the test says.

#if Kafka
import ChangeModel
import Logging
import Sink
import Support
import Synchronization

@testable import KafkaSink

/// The broker of all tests of this room; it goes with the process.
enum SharedBroker {
    private static let started = Task { try await KafkaBroker.start() }

    static var broker: KafkaBroker {
        get async throws { try await started.value }
    }
}

/// A supervisor that says whether to go on, and keeps what it is told.
final class TestSupervisor: SinkSupervisor {
    private let isStopped = Atomic(false)
    private let told = Mutex<[WalrelayError]>([])

    /// What waits were for.
    var notes: [WalrelayError] { told.withLock { $0 } }
    func note(_ error: WalrelayError) { told.withLock { $0.append(error) } }

    func stop() { isStopped.store(true, ordering: .relaxed) }
    func keepWaiting() -> Bool { !isStopped.load(ordering: .relaxed) }
    func waitBeforeRetry(of error: WalrelayError, attempt: Int) throws { throw error }
}

/// A place in a cluster for one test.
struct KafkaPlace {
    let address: String
    let prefix: String
    var options: KafkaSinkOptions
    let supervisor = TestSupervisor()

    private static let counter = Atomic(0)

    init(_ address: String) {
        let number = Self.counter.add(1, ordering: .relaxed).newValue
        self.address = address
        prefix = "t\(number)"
        options = KafkaSinkOptions(
            task: "orders",
            database: "shop",
            version: "0",
            format: ValueFormat(),
            topicPrefix: prefix,
            properties: ["bootstrap.servers": address]
        )
        options.partitions = 3
    }

    static func onSharedBroker() async throws -> KafkaPlace {
        KafkaPlace(try await SharedBroker.broker.address)
    }

    /// A sink that is not open.
    func sink(_ change: (inout KafkaSinkOptions) -> Void = { _ in }) -> KafkaSink {
        var options = options
        change(&options)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let patience = Patience(supervisor, afterStop: .seconds(2))
        return KafkaSink(options, patience: patience, logger: logger)
    }

    /// A sink that has an empty snapshot behind it and stands at 0/100.
    func begun(_ change: (inout KafkaSinkOptions) -> Void = { _ in }) throws -> KafkaSink {
        let sink = sink(change)
        _ = try sink.open()
        try sink.begin()
        return sink
    }

    var itemsTopic: String { "\(prefix).public.items" }
}

extension KafkaSink {
    /// As the pipeline begins a task.
    func begin(_ relations: [Relation] = [items.relation]) throws {
        try inspect(relations, types: [])
        try beginSnapshot(checkpoint(0, .running, []))
        try prepare(relations, types: [])
        try commit(checkpoint(0x100, .running, relations))
        try commit(checkpoint(0x100, .complete, relations))
    }

    /// Writes rows of one transaction and commits them.
    func put(_ ids: some Sequence<Int>, at position: UInt64) throws {
        let end = checkpoint(position)
        try write(rows(ids, in: transaction(position - 1), checkpoint: end))
        try commit(end)
    }
}

let items = RelationVersion(
    relation: Relation(
        oid: 16_400,
        schema: "public",
        name: "items",
        replicaIdentity: .default,
        columns: [
            Column(name: "id", typeOID: 23, isKey: true),
            Column(name: "note", typeOID: 25),
        ],
        primaryKey: ["id"]
    ),
    types: [.integer, .text],
    version: 1
)

func transaction(_ commitLSN: UInt64) -> Transaction {
    Transaction(
        xid: UInt32(truncatingIfNeeded: commitLSN),
        commitLSN: LSN(commitLSN),
        commitTime: PostgresTime(microseconds: 0)
    )
}

/// A batch of inserts of one transaction; all of them count as committed where there is a
/// checkpoint.
func rows(
    _ ids: some Sequence<Int>,
    in transaction: Transaction,
    kind: ChangeKind = .insert,
    from firstOrdinal: UInt64 = 1,
    note: String = "x",
    lsnBase: UInt64 = 0x40,
    checkpoint: Checkpoint? = nil
) -> ChangeBatch {
    var batch = ChangeBatch()
    batch.append(
        ids,
        in: transaction,
        kind: kind,
        from: firstOrdinal,
        note: note,
        lsnBase: lsnBase
    )
    batch.committedCount = checkpoint == nil ? 0 : batch.changes.count
    batch.checkpoint = checkpoint
    return batch
}

extension ChangeBatch {
    mutating func append(
        _ ids: some Sequence<Int>,
        in transaction: Transaction,
        kind: ChangeKind = .insert,
        from firstOrdinal: UInt64 = 1,
        note: String = "x",
        lsnBase: UInt64 = 0x40
    ) {
        if relations.isEmpty { relations = [items] }
        transactions.append(transaction)
        var ordinal = firstOrdinal
        for id in ids {
            let first = cell(String(id))
            _ = cell(note)
            changes.append(
                Change(
                    kind: kind,
                    old: .none,
                    relation: 0,
                    transaction: Int32(transactions.count - 1),
                    newCells: first,
                    oldCells: 0,
                    lsn: LSN(lsnBase + ordinal),
                    ordinal: kind == .read ? 0 : ordinal,
                    relationOrdinal: ordinal
                )
            )
            ordinal += 1
        }
    }

    /// Appends an update that gives the row another id.
    mutating func appendMove(from old: Int, to new: Int, in transaction: Transaction) {
        relations = [items]
        transactions.append(transaction)
        let oldCells = cell(String(old))
        cells.append(.absent)
        let newCells = cell(String(new))
        _ = cell("moved")
        changes.append(
            Change(
                kind: .update,
                old: .key,
                relation: 0,
                transaction: Int32(transactions.count - 1),
                newCells: newCells,
                oldCells: oldCells,
                lsn: LSN(0x50),
                ordinal: 1,
                relationOrdinal: 1
            )
        )
    }

    private mutating func cell(_ text: String) -> UInt32 {
        cells.append(Cell(offset: UInt32(bytes.count), length: Int32(text.utf8.count)))
        bytes += text.utf8
        return UInt32(cells.count - 1)
    }
}

func checkpoint(
    _ position: UInt64,
    _ snapshot: Checkpoint.SnapshotState = .complete,
    _ relations: [Relation] = [items.relation]
) -> Checkpoint {
    Checkpoint(
        task: "orders",
        systemIdentifier: "7301234567890123456",
        database: "shop \"x\"",
        slot: "di_slot_orders",
        position: LSN(position),
        snapshot: snapshot,
        snapshotLSN: position == 0 ? nil : LSN(0x100),
        relations: relations
    )
}

/// The walrelay error that `body` throws; its code says what else came.
func failure(_ body: () throws -> Void) -> WalrelayError {
    do {
        try body()
        return WalrelayError("no error", exit: .success, "")
    } catch let error as WalrelayError {
        return error
    } catch {
        return WalrelayError("\(type(of: error))", exit: .success, "\(error)")
    }
}

extension KafkaBroker {
    /// The ids of the rows in a topic, in each partition's order, sorted by partition.
    func ids(of topic: String, isolation: KafkaIsolation = .committed) throws -> [Int] {
        try records(of: topic, isolation: isolation).compactMap { record in
            guard let key = record.key else { return nil }
            return Int(key.drop { !$0.isNumber }.prefix { $0.isNumber })
        }
    }
}
#endif
