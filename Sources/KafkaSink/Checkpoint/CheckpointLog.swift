// SPDX-License-Identifier: Apache-2.0
//
// Reads a task's checkpoint from its topic, and says which records put a new one there. Whether
// they are in a transaction with the data is the affair of whoever produces them.

#if Kafka
import ChangeModel
import LibRDKafka
import Logging

/// The checkpoint of one task in its topic.
struct CheckpointLog {
    /// A record that is to be produced; a value of `nil` removes its key.
    struct Record: Equatable {
        var key: [UInt8]
        var value: [UInt8]?
    }

    /// After so many commits the document is written again, so that it is never far from the end.
    static let documentEvery = 1_000

    let task: String
    let topic: String
    private var record = CheckpointRecord()
    private var written: CheckpointDocument?
    private var mark = DocumentMark(number: 0, parts: 0, formerParts: 0)
    private var commitsSinceDocument = 0

    init(task: String, topic: String) {
        self.task = task
        self.topic = topic
    }

    private var key: [UInt8] { Array(task.utf8) }

    private func partKey(_ number: UInt64, _ part: Int) -> [UInt8] {
        Array("\(task).document.\(number % 2).\(part)".utf8)
    }

    // MARK: - Reading

    /// What the topic says of the task; `nil` where it says nothing or the topic is missing.
    ///
    /// Blocks for `limit` at most. Throws `KafkaError` and `MalformedCheckpoint`.
    func load(from tail: TopicTail, within limit: Duration) throws -> StoredCheckpoint? {
        let deadline = ContinuousClock.now + limit
        let found: TailRecord?
        do throws(KafkaError) {
            found = try newest(in: tail, within: limit)
        } catch {
            if error.kind == .unknownTopic { return nil }
            throw error
        }
        guard let newest = found, let value = newest.value else { return nil }
        let read = try CheckpointRecord.Read(parsing: value)
        guard read.task == task else {
            throw MalformedCheckpoint("its record is that of task \(read.task)")
        }
        var parts: [[UInt8]?] = Array(repeating: nil, count: read.document.parts)
        var places: [[UInt8]: Int] = [:]
        for index in parts.indices { places[partKey(read.document.number, index)] = index }
        var missing = parts.count
        try tail.newestByKey(
            of: topic,
            within: max(.seconds(1), deadline - .now),
            where: { places[Array($0)] != nil },
            { found in
                if let index = places[found.key], parts[index] == nil {
                    parts[index] = found.value ?? []
                    missing -= 1
                }
                return missing > 0
            }
        )
        guard missing == 0 else {
            throw MalformedCheckpoint(
                "\(missing) of the \(parts.count) parts of its document are gone"
            )
        }
        return try CheckpointRecord.stored(
            read,
            parts: parts.compactMap { $0 },
            record: value
        )
    }

    /// The newest of the small records; `nil` where there is none.
    func newest(in tail: TopicTail, within limit: Duration) throws(KafkaError) -> TailRecord? {
        let key = key
        var newest: TailRecord?
        try tail.newestByKey(
            of: topic,
            within: limit,
            where: { $0.elementsEqual(key) },
            { found in
                newest = found
                return false
            }
        )
        return newest
    }

    // MARK: - Writing

    /// Goes on from what was read.
    mutating func resume(from stored: StoredCheckpoint?) {
        commitsSinceDocument = 0
        guard let stored else {
            (written, mark) = (nil, DocumentMark(number: 0, parts: 0, formerParts: 0))
            return
        }
        written = CheckpointDocument(of: stored.checkpoint, partitions: stored.partitions)
        mark = stored.document
    }

    /// The records that put a checkpoint into the topic, in their order.
    ///
    /// Handed over one by one: the small one comes last, and is all there is most of the time.
    mutating func records(
        for checkpoint: Checkpoint,
        partial: PartialTransaction?,
        partitions: [String: Int],
        _ body: (_ key: [UInt8], _ value: [UInt8]?) throws -> Void
    ) throws {
        commitsSinceDocument += 1
        // Equal without a look at the elements for as long as they are the same arrays.
        let isSame =
            written.map {
                $0.relations == checkpoint.relations && $0.types == checkpoint.types
                    && $0.partitions == partitions && ($0.copies ?? []) == checkpoint.copies
            } ?? false
        if !isSame || commitsSinceDocument > Self.documentEvery {
            try write(CheckpointDocument(of: checkpoint, partitions: partitions), body)
        }
        try record.encode(checkpoint, partial: partial, document: mark)
        try body(key, record.bytes)
    }

    /// What `records` has handed over, as it will be read.
    func stored(
        _ checkpoint: Checkpoint,
        partial: PartialTransaction?,
        partitions: [String: Int]
    ) -> StoredCheckpoint {
        StoredCheckpoint(
            checkpoint: checkpoint,
            partial: partial,
            partitions: partitions,
            document: mark,
            record: record.bytes
        )
    }

    private mutating func write(
        _ document: CheckpointDocument,
        _ body: (_ key: [UInt8], _ value: [UInt8]?) throws -> Void
    ) throws {
        let number = mark.number + 1
        let parts = try document.parts(number: number)
        for (index, part) in parts.enumerated() { try body(partKey(number, index), part) }
        // The keys were those of the document before the last.
        for index in parts.count..<max(parts.count, mark.formerParts) {
            try body(partKey(number, index), nil)
        }
        mark = DocumentMark(number: number, parts: parts.count, formerParts: mark.parts)
        written = document
        commitsSinceDocument = 0
    }

    /// The records that end the task in the topic.
    func removal(of stored: StoredCheckpoint) -> [Record] {
        var keys = [key]
        let mark = stored.document
        for part in 0..<mark.parts { keys.append(partKey(mark.number, part)) }
        for part in 0..<mark.formerParts { keys.append(partKey(mark.number + 1, part)) }
        return keys.map { Record(key: $0, value: nil) }
    }
}
#endif
