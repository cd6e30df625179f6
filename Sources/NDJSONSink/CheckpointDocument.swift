// SPDX-License-Identifier: Apache-2.0
//
// `checkpoint.json`: what the sink is at, as bytes. Written by hand, since that happens with every
// commit; the relations, nearly all of it and nearly always the same, are kept encoded. Read with
// a JSON decoder, once, strictly: what is not understood is refused and never taken for nothing.

import ChangeModel
import Foundation

/// The content of `checkpoint.json`.
struct CheckpointDocument: Equatable {
    /// The version that is written and the only one that is read.
    static let version = 1
    /// A document that is longer is refused.
    static let byteLimit = 256 << 20

    /// Up to where the event files are valid.
    var mark: FileMark
    /// Where the task goes on; `nil` before the first commit.
    var checkpoint: Checkpoint?
}

// MARK: - Writing

/// Encodes checkpoints, keeping what seldom changes.
struct CheckpointEncoder {
    private var relations: [Relation] = []
    private var relationBytes: [UInt8] = Array("[]".utf8)
    private var types: [TypeEntry] = []
    private var typeBytes: [UInt8] = []
    private var copies: [TableCopy] = []
    private var copyBytes: [UInt8] = []

    /// The document's bytes, one key a line.
    mutating func encode(_ document: CheckpointDocument) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(512 + relationBytes.count)
        out.append("{\"version\":\(CheckpointDocument.version)")
        if let checkpoint = document.checkpoint {
            out.append(key: "task", string: checkpoint.task)
        }
        out.append(key: "file", string: document.mark.openName)
        out.append(",\n \"length\":\(document.mark.length)")
        guard let checkpoint = document.checkpoint else {
            out.append(",\n \"position\":null}\n")
            return out
        }
        out.append(key: "position", string: checkpoint.position.description)
        out.append(key: "snapshot", string: checkpoint.snapshot.rawValue)
        if let lsn = checkpoint.snapshotLSN {
            out.append(key: "snapshotLSN", string: lsn.description)
        }
        out.append(key: "systemIdentifier", string: checkpoint.systemIdentifier)
        out.append(key: "database", string: checkpoint.database)
        out.append(key: "slot", string: checkpoint.slot)
        if let oid = checkpoint.publicationOID { out.append(",\n \"publicationOID\":\(oid)") }
        if let timeline = checkpoint.timeline { out.append(",\n \"timeline\":\(timeline)") }
        out.append(",\n \"relations\":")
        // Equal without a look at the elements for as long as it is the same array.
        if checkpoint.relations != relations {
            relations = checkpoint.relations
            relationBytes = Self.bytes(of: relations)
        }
        out += relationBytes
        if checkpoint.types != types {
            types = checkpoint.types
            typeBytes = Self.bytes(of: types)
        }
        out += typeBytes
        if checkpoint.copies != copies {
            copies = checkpoint.copies
            copyBytes = Self.bytes(of: copies)
        }
        out += copyBytes
        out.append("}\n")
        return out
    }

    /// The key and its value; nothing where there are none.
    private static func bytes(of types: [TypeEntry]) -> [UInt8] {
        var out: [UInt8] = []
        for (index, type) in types.enumerated() {
            out.append(index == 0 ? ",\n \"types\":[\n  {" : ",\n  {")
            out.append("\"oid\":\(type.oid),\"schema\":")
            out.append(quoted: type.schema)
            out.append(",\"name\":")
            out.append(quoted: type.name)
            out.append(",\"kind\":\(type.kind.rawValue),\"element\":\(type.element)")
            out.append(",\"base\":\(type.base),\"baseModifier\":\(type.baseModifier)")
            out.append(",\"delimiter\":\(type.delimiter)}")
        }
        if !types.isEmpty { out.append("]") }
        return out
    }

    /// The key and its value; nothing where there are none.
    private static func bytes(of copies: [TableCopy]) -> [UInt8] {
        var out: [UInt8] = []
        for (index, copy) in copies.enumerated() {
            out.append(index == 0 ? ",\n \"copies\":[\n  {" : ",\n  {")
            out.append("\"oid\":\(copy.oid),\"point\":\"\(copy.point)\"")
            switch copy.progress {
            case .nothing: break
            case .whole: out.append(",\"whole\":true")
            case .keys(let column, let keys):
                out.append(",\"column\":")
                out.append(quoted: column)
                let pairs = keys.ranges.map { range in
                    "[\(range.lower.map(String.init) ?? "null"),"
                        + "\(range.upper.map(String.init) ?? "null")]"
                }
                out.append(",\"ranges\":[\(pairs.joined(separator: ","))]")
            }
            if copy.isAsked { out.append(",\"asked\":true") }
            out.append(",\"rows\":\(copy.rows),\"bytes\":\(copy.bytes)}")
        }
        if !copies.isEmpty { out.append("]") }
        return out
    }

    private static func bytes(of relations: [Relation]) -> [UInt8] {
        var out: [UInt8] = []
        out.append("[")
        for (index, relation) in relations.enumerated() {
            out.append(index == 0 ? "\n  {" : ",\n  {")
            out.append("\"oid\":\(relation.oid),\"schema\":")
            out.append(quoted: relation.schema)
            out.append(",\"name\":")
            out.append(quoted: relation.name)
            out.append(",\"replicaIdentity\":\(relation.replicaIdentity.rawValue),\"columns\":[")
            for (index, column) in relation.columns.enumerated() {
                out.append(index == 0 ? "{\"name\":" : ",{\"name\":")
                out.append(quoted: column.name)
                out.append(",\"typeOID\":\(column.typeOID),\"typeModifier\":")
                out.append("\(column.typeModifier),\"isKey\":\(column.isKey)}")
            }
            out.append("],\"primaryKey\":[")
            for (index, name) in relation.primaryKey.enumerated() {
                if index > 0 { out.append(",") }
                out.append(quoted: name)
            }
            out.append("]}")
        }
        out.append("]")
        return out
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ text: String) {
        append(contentsOf: text.utf8)
    }

    fileprivate mutating func append(key: String, string: String) {
        append(",\n \"\(key)\":")
        append(quoted: string)
    }

    fileprivate mutating func append(quoted text: String) {
        append(0x22)
        for byte in text.utf8 {
            switch byte {
            case 0x22, 0x5C:
                append(0x5C)
                append(byte)
            case 0..<0x20:
                append(byte < 0x10 ? "\\u000" : "\\u00")
                append(String(byte, radix: 16))
            default:
                append(byte)
            }
        }
        append(0x22)
    }
}

// MARK: - Reading

extension CheckpointDocument: Decodable {
    private enum Key: String, CodingKey {
        case version, task, file, length, position, snapshot, snapshotLSN
        case systemIdentifier, database, slot, publicationOID, timeline, relations, types, copies
    }

    /// Decodes a document of this version.
    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        let version = try Self.whole(.version, in: values)
        guard version == Self.version else {
            throw DecodingError.dataCorruptedError(
                forKey: .version,
                in: values,
                debugDescription: "version \(version) is not known here, only \(Self.version):"
                    + " another walrelay wrote it"
            )
        }
        let file = try values.decode(String.self, forKey: .file)
        guard let name = EventFileName(parsing: file), !name.isSealed else {
            throw DecodingError.dataCorruptedError(
                forKey: .file,
                in: values,
                debugDescription: "\"\(file)\" is not a name such as 000000000001.ndjson.open"
            )
        }
        let length = try Self.whole(.length, in: values)
        guard length >= 0 else {
            throw DecodingError.dataCorruptedError(
                forKey: .length,
                in: values,
                debugDescription: "\(length) is negative"
            )
        }
        mark = FileMark(number: name.number, length: length)
        if values.contains(.position), try values.decodeNil(forKey: .position) {
            checkpoint = nil
            return
        }
        checkpoint = Checkpoint(
            task: try values.decode(String.self, forKey: .task),
            systemIdentifier: try values.decode(String.self, forKey: .systemIdentifier),
            database: try values.decode(String.self, forKey: .database),
            slot: try values.decode(String.self, forKey: .slot),
            position: try values.decode(LSN.self, forKey: .position),
            snapshot: try values.decode(Checkpoint.SnapshotState.self, forKey: .snapshot),
            snapshotLSN: try values.decodeIfPresent(LSN.self, forKey: .snapshotLSN),
            relations: try values.decode([Relation].self, forKey: .relations),
            types: try values.decodeIfPresent([TypeEntry].self, forKey: .types) ?? [],
            publicationOID: try values.decodeIfPresent(UInt32.self, forKey: .publicationOID),
            timeline: try values.decodeIfPresent(UInt32.self, forKey: .timeline),
            copies: try values.decodeIfPresent([TableCopy].self, forKey: .copies) ?? []
        )
    }

    /// A whole number; read as a `Double` because the decoder tells no place for one out of range.
    private static func whole(
        _ key: Key,
        in values: KeyedDecodingContainer<Key>
    ) throws -> Int64 {
        let number = try values.decode(Double.self, forKey: key)
        guard let whole = Int64(exactly: number) else {
            throw DecodingError.dataCorruptedError(
                forKey: key,
                in: values,
                debugDescription: "\(number) is no whole number"
            )
        }
        return whole
    }

    /// Parses the bytes of the file in `directory`; throws `sink.checkpoint_malformed`.
    init(parsing bytes: [UInt8], in directory: String) throws(WalrelayError) {
        let data = Data(bytes)
        guard bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "{") else {
            throw .checkpointMalformed(
                directory,
                bytes.isEmpty ? "it is empty" : "it is no JSON object"
            )
        }
        do {
            self = try JSONDecoder().decode(CheckpointDocument.self, from: data)
        } catch {
            var reason = Self.fault(inSyntaxOf: data) ?? Self.reason(error)
            if reason == "The given data was not valid JSON." {
                // Said of valid JSON too, where a number does not fit its type.
                reason = "a number under relations is out of range"
            }
            throw .checkpointMalformed(directory, "\(reason) (\(bytes.count) bytes were read)")
        }
    }

    /// What is not JSON and where; the decoder itself does not say where.
    private static func fault(inSyntaxOf data: Data) -> String? {
        do {
            _ = try JSONSerialization.jsonObject(with: data)
            return nil
        } catch {
            let detail = (error as NSError).userInfo["NSDebugDescription"] as? String
            return "not valid JSON: " + (detail ?? "\(error)")
        }
    }

    /// The key and what is wrong there, in one clause.
    private static func reason(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        let context: DecodingError.Context
        var missing: [any CodingKey] = []
        switch error {
        case .keyNotFound(let key, let found):
            (context, missing) = (found, [key])
        case .typeMismatch(_, let found), .valueNotFound(_, let found), .dataCorrupted(let found):
            context = found
        @unknown default:
            return "\(error)"
        }
        var path = ""
        for key in context.codingPath + missing {
            if let index = key.intValue {
                path += "[\(index)]"
            } else {
                path += path.isEmpty ? key.stringValue : ".\(key.stringValue)"
            }
        }
        let text = missing.isEmpty ? context.debugDescription : "the key is missing"
        return path.isEmpty ? text : "at \(path): \(text)"
    }
}
