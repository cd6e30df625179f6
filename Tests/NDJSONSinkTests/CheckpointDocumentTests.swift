// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Testing

@testable import NDJSONSink

@Suite struct CheckpointDocumentTests {
    private func roundTrip(_ document: CheckpointDocument) throws -> CheckpointDocument {
        var encoder = CheckpointEncoder()
        return try CheckpointDocument(parsing: encoder.encode(document), in: "/d")
    }

    @Test func `a checkpoint is read as it was written`() throws {
        var document = CheckpointDocument(
            mark: FileMark(number: 12, length: 345),
            checkpoint: checkpoint(0x16_B374_D848)
        )
        #expect(try roundTrip(document) == document)
        document.checkpoint?.timeline = 3
        document.checkpoint?.publicationOID = 77
        #expect(try roundTrip(document) == document)
        document.checkpoint?.snapshotLSN = nil
        document.checkpoint?.snapshot = .running
        document.checkpoint?.relations = []
        #expect(try roundTrip(document) == document)
        document.checkpoint = nil
        #expect(try roundTrip(document) == document)
    }

    @Test func `names with quotes, controls and other scripts survive`() throws {
        let name = "a\"b\\c\u{0}\u{1F}\n\u{7F}\u{2028}é表😀"
        var value = checkpoint(1)
        value.database = name
        value.relations = [.default, .nothing, .full, .index].enumerated().map { index, identity in
            Relation(
                oid: UInt32.max - UInt32(index),
                schema: name,
                name: name,
                replicaIdentity: identity,
                columns: [
                    Column(name: name, typeOID: .max, typeModifier: .min, isKey: true),
                    Column(name: "", typeOID: 0),
                ],
                primaryKey: Array(repeating: name, count: index)
            )
        }
        value.types = [
            TypeEntry(
                oid: .max,
                name: name,
                schema: name,
                kind: .domain,
                element: 1,
                base: .max,
                baseModifier: .min,
                delimiter: 0x3B
            ),
            TypeEntry(oid: 1, name: "", schema: "", kind: .base),
        ]
        let document = CheckpointDocument(mark: .start(of: 1), checkpoint: value)
        #expect(try roundTrip(document) == document)
    }

    @Test func `relations that change are written anew`() throws {
        var encoder = CheckpointEncoder()
        var value = checkpoint(1)
        for name in ["a", "b", "b", "c"] {
            value.relations[0].name = name
            let document = CheckpointDocument(mark: .start(of: 1), checkpoint: value)
            let read = try CheckpointDocument(parsing: encoder.encode(document), in: "/d")
            #expect(read == document)
        }
    }

    @Test func `the document reads as the contract says`() throws {
        var encoder = CheckpointEncoder()
        let bytes = encoder.encode(
            CheckpointDocument(
                mark: FileMark(number: 1, length: 77),
                checkpoint: checkpoint(0x16B_3748)
            )
        )
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
        )
        #expect(object["version"] as? Int == 1)
        #expect(object["task"] as? String == "orders")
        #expect(object["file"] as? String == "000000000001.ndjson.open")
        #expect(object["length"] as? Int == 77)
        #expect(object["position"] as? String == "0/16B3748")
        #expect(object["snapshot"] as? String == "complete")
        #expect(object["systemIdentifier"] as? String == "7301234567890123456")
        #expect((object["relations"] as? [Any])?.count == 1)
    }

    @Test(arguments: [
        ("", "it is empty"),
        ("{\"version\":1,", "end of file"),
        ("{\"version\":1}", "at file: the key is missing"),
        ("[]", "it is no JSON object"),
        ("{\"version\":2}", "version 2 is not known"),
        ("{\"version\":\"1\"}", "at version"),
        ("{\"file\":\"000000000001.ndjson.open\",\"length\":1}", "at version: the key is missing"),
        (edit("\"length\":0", "\"length\":-1"), "at length: -1 is negative"),
        (edit("\"length\":0", "\"length\":1.5"), "at length"),
        (edit("\"length\":0", "\"length\":99999999999999999999"), "at length: 1e+20 is no whole"),
        (edit(".ndjson.open", ".ndjson"), "at file"),
        (edit("000000000001", "../../../etc"), "at file"),
        (edit("0/10\"", "0:10\""), "at position: \"0:10\" is not an LSN"),
        (edit("\"complete\"", "\"perhaps\""), "at snapshot"),
        (edit("\"task\":\"orders\",", ""), "at task: the key is missing"),
        (edit("\"position\":\"0/10\",", ""), "at position: the key is missing"),
        (edit("\"oid\":16400", "\"oid\":-1"), "a number under relations"),
        (
            edit("\"replicaIdentity\":100", "\"replicaIdentity\":1"),
            "at relations[0].replicaIdentity"
        ),
        (edit("}\n", "}\n{}"), "not valid JSON"),
    ])
    func `what is malformed is refused with its place`(text: String, place: String) throws {
        let folder = try Folder()
        try folder.write(text, to: "checkpoint.json")
        try folder.write("kept", to: "000000000001.ndjson.open")
        let error = try #require(try walrelayError { _ = try NDJSONSink(folder).open() })
        #expect(error.code == "sink.checkpoint_malformed")
        #expect(error.exit == .checkpointMismatch)
        #expect(error.message.contains(place), "\(error.message)")
        #expect(try folder.read("000000000001.ndjson.open") == "kept")
        #expect(try folder.read("checkpoint.json") == text)
    }
}

/// A well-formed document with one thing changed, which must be in it.
private func edit(_ old: String, _ new: String) -> String {
    var encoder = CheckpointEncoder()
    let bytes = encoder.encode(
        CheckpointDocument(mark: .start(of: 1), checkpoint: checkpoint(0x10))
    )
    let text = String(decoding: bytes, as: UTF8.self)
    precondition(text.contains(old), "\(old) is not in the document")
    return text.replacingOccurrences(of: old, with: new)
}
