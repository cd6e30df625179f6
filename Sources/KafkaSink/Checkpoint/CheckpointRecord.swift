// SPDX-License-Identifier: Apache-2.0
//
// The checkpoint as records of a compacted topic. What changes with every commit is one small
// record; what seldom changes and may be large, the relations, is a document in parts:
//
//   <task>                    position, snapshot …, which document belongs to it
//   <task>.document.0.<i>     the parts of the documents with even numbers
//   <task>.document.1.<i>     … and of those with odd numbers
//
// A document never overwrites the one before it: whatever was written when a crash came, the
// document that the small record names is whole.

#if Kafka
import ChangeModel
import Foundation

/// How far a source transaction that has not ended stands in the topics already.
struct PartialTransaction: Sendable, Equatable, Codable {
    /// Where the transaction commits.
    var commitLSN: LSN
    /// The place of its last change that was written.
    var ordinal: UInt64
    /// That change's own position: another one at its place means that the tables were changed.
    var lsn: LSN
    /// Which one it is, from 1, of those in a row that have this position, as all rows have that one
    /// record of a COPY brings; nil in what an earlier version wrote.
    var place: UInt64?
}

/// Counts the changes of a transaction that have one position.
struct PositionRun: Sendable, Equatable {
    private var commitLSN = LSN.zero
    private var lsn = LSN.zero
    /// How many there are so far.
    private(set) var count: UInt64 = 0

    /// Takes the next change of a transaction.
    @inline(__always)
    mutating func take(_ change: Change, of commitLSN: LSN) {
        if change.lsn == lsn, commitLSN == self.commitLSN {
            count += 1
        } else {
            (self.commitLSN, lsn, count) = (commitLSN, change.lsn, 1)
        }
    }
}

/// Which document belongs to a record.
struct DocumentMark: Sendable, Equatable, Codable {
    /// Counts up with each document that is written.
    var number: UInt64
    /// How many parts it has.
    var parts: Int
    /// How many parts the document before it has.
    var formerParts: Int
}

/// All that the topic says of one task.
struct StoredCheckpoint: Sendable, Equatable {
    /// Where the task goes on.
    var checkpoint: Checkpoint
    /// What stands in the topics behind `checkpoint.position`.
    var partial: PartialTransaction?
    /// By how many partitions the keys of a topic were spread when it was first written to.
    var partitions: [String: Int]
    /// The document that was written last.
    var document: DocumentMark
    /// The small record itself; two that differ were not left by the same commit.
    var record: [UInt8]
}

/// What a document holds.
struct CheckpointDocument: Sendable, Equatable, Codable {
    var relations: [Relation]
    var types: [TypeEntry]
    var partitions: [String: Int]
    /// Absent in what an earlier version wrote, and where every table is whole.
    var copies: [TableCopy]?
}

extension CheckpointDocument {
    init(of checkpoint: Checkpoint, partitions: [String: Int]) {
        self.init(
            relations: checkpoint.relations,
            types: checkpoint.types,
            partitions: partitions,
            copies: checkpoint.copies.isEmpty ? nil : checkpoint.copies
        )
    }
}

// MARK: - Writing

extension CheckpointDocument {
    /// Bytes of a document in one part; escaped in JSON they are twice that at most, and every
    /// broker takes a record of such a size.
    static let partBytes = 128 << 10

    /// The document as the values of its parts.
    func parts(number: UInt64) throws -> [[UInt8]] {
        let bytes = Array(try Self.encoder().encode(self))
        var parts: [[UInt8]] = []
        var start = 0
        while start < bytes.count {
            var end = min(start + Self.partBytes, bytes.count)
            // Not within a character.
            while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end -= 1 }
            let part = DocumentPart(
                number: number,
                part: parts.count,
                text: String(decoding: bytes[start..<end], as: UTF8.self)
            )
            parts.append(Array(try Self.encoder().encode(part)))
            start = end
        }
        return parts
    }

    fileprivate static func encoder() -> JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }
}

/// One part of a document.
private struct DocumentPart: Codable {
    var number: UInt64
    var part: Int
    var text: String
}

/// What of the small record stays the same for as long as a task lasts.
private struct RecordHead: Codable, Equatable {
    var version = CheckpointRecord.version
    var task: String
    var systemIdentifier: String
    var database: String
    var slot: String
}

/// Encodes small records; what does not change is encoded once.
struct CheckpointRecord {
    /// The version that is written and the only one that is read.
    static let version = 1

    private var head: RecordHead?
    private var headBytes: [UInt8] = []
    /// The last record's value.
    private(set) var bytes: [UInt8] = []

    /// Makes `bytes` the value for a checkpoint.
    mutating func encode(
        _ checkpoint: Checkpoint,
        partial: PartialTransaction?,
        document: DocumentMark
    ) throws {
        let head = RecordHead(
            task: checkpoint.task,
            systemIdentifier: checkpoint.systemIdentifier,
            database: checkpoint.database,
            slot: checkpoint.slot
        )
        if head != self.head {
            headBytes = Array(try CheckpointDocument.encoder().encode(head).dropLast())
            self.head = head
        }
        bytes.removeAll(keepingCapacity: true)
        bytes += headBytes
        // From here on there are only digits and names that need no escape.
        append(",\"position\":\"\(checkpoint.position)\"")
        append(",\"snapshot\":\"\(checkpoint.snapshot.rawValue)\"")
        if let lsn = checkpoint.snapshotLSN { append(",\"snapshotLSN\":\"\(lsn)\"") }
        if let oid = checkpoint.publicationOID { append(",\"publicationOID\":\(oid)") }
        if let timeline = checkpoint.timeline { append(",\"timeline\":\(timeline)") }
        if let partial {
            append(",\"partial\":{\"commitLSN\":\"\(partial.commitLSN)\"")
            append(",\"ordinal\":\(partial.ordinal),\"lsn\":\"\(partial.lsn)\"")
            if let place = partial.place { append(",\"place\":\(place)") }
            append("}")
        }
        append(",\"document\":{\"number\":\(document.number),\"parts\":\(document.parts)")
        append(",\"formerParts\":\(document.formerParts)}}")
    }

    private mutating func append(_ text: String) {
        bytes.append(contentsOf: text.utf8)
    }
}

// MARK: - Reading

extension CheckpointRecord {
    /// The small record as it is read.
    struct Read: Codable {
        var version: Int
        var task: String
        var systemIdentifier: String
        var database: String
        var slot: String
        var position: LSN
        var snapshot: Checkpoint.SnapshotState
        var snapshotLSN: LSN?
        var publicationOID: UInt32?
        var timeline: UInt32?
        var partial: PartialTransaction?
        var document: DocumentMark

        /// Parses a value; throws what is wrong with it, in words.
        init(parsing value: [UInt8]) throws(MalformedCheckpoint) {
            do {
                self = try JSONDecoder().decode(Read.self, from: Data(value))
            } catch {
                throw MalformedCheckpoint("its record is not understood: \(Self.reason(error))")
            }
            guard version == CheckpointRecord.version else {
                throw MalformedCheckpoint(
                    "its record has version \(version), and only \(CheckpointRecord.version) is "
                        + "known here: another walrelay wrote it"
                )
            }
            guard (1...(1 << 16)).contains(document.parts), document.number > 0,
                (0...(1 << 16)).contains(document.formerParts)
            else { throw MalformedCheckpoint("its record names a document of no such size") }
        }

        private static func reason(_ error: any Error) -> String {
            guard let error = error as? DecodingError else { return "\(error)" }
            switch error {
            case .keyNotFound(let key, _): return "\(key.stringValue) is missing"
            case .typeMismatch(_, let context), .valueNotFound(_, let context),
                .dataCorrupted(let context):
                return context.debugDescription
            @unknown default: return "\(error)"
            }
        }
    }

    /// Puts a record and the parts of its document together.
    static func stored(
        _ read: Read,
        parts: [[UInt8]],
        record: [UInt8]
    ) throws(MalformedCheckpoint) -> StoredCheckpoint {
        var text: [UInt8] = []
        for (index, value) in parts.enumerated() {
            guard let part = try? JSONDecoder().decode(DocumentPart.self, from: Data(value)),
                part.number == read.document.number, part.part == index
            else {
                throw MalformedCheckpoint(
                    "part \(index) of document \(read.document.number) is another"
                )
            }
            text += part.text.utf8
        }
        let document: CheckpointDocument
        do {
            document = try JSONDecoder().decode(CheckpointDocument.self, from: Data(text))
        } catch {
            throw MalformedCheckpoint("document \(read.document.number) is not understood")
        }
        return StoredCheckpoint(
            checkpoint: Checkpoint(
                task: read.task,
                systemIdentifier: read.systemIdentifier,
                database: read.database,
                slot: read.slot,
                position: read.position,
                snapshot: read.snapshot,
                snapshotLSN: read.snapshotLSN,
                relations: document.relations,
                types: document.types,
                publicationOID: read.publicationOID,
                timeline: read.timeline,
                copies: document.copies ?? []
            ),
            partial: read.partial,
            partitions: document.partitions,
            document: read.document,
            record: record
        )
    }
}

/// What is wrong with a checkpoint, for the error that names the topic.
struct MalformedCheckpoint: Error {
    let reason: String

    init(_ reason: String) {
        self.reason = reason
    }
}
#endif
