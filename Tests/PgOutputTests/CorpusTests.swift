// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct CorpusTests {
    @Test(arguments: Corpus.samples("pgoutput"))
    func `of messages decodes, and no part of a message does`(sample: Corpus.Sample) throws {
        var decoded = Decoded()
        _ = try decoded.decode(sample.bytes)
        #expect(exercise(sample.bytes) == nil)
        expectEveryLengthMatters(Wire(bytes: sample.bytes))
    }

    @Test(arguments: Corpus.samples("frame"))
    func `of frames decodes`(sample: Corpus.Sample) throws {
        let frame = try ReplicationFrame.decode(sample.bytes.span)
        if case .walData(_, _, _, let payloadOffset) = frame {
            var decoded = Decoded()
            _ = try decoded.decode(Array(sample.bytes[payloadOffset...]))
        }
        #expect(exercise(sample.bytes) == nil)
    }

    @Test(arguments: Corpus.samples("copyrow"))
    func `of COPY rows decodes`(sample: Corpus.Sample) throws {
        let tabs = sample.bytes.count { $0 == UInt8(ascii: "\t") }
        let isZero = sample.name.contains("zero")
        var decoded = Decoded()
        try CopyRowDecoder.decode(
            sample.bytes.span,
            columnCount: isZero ? 0 : tabs + 1,
            into: &decoded.arena,
            cells: &decoded.cells
        )
        #expect(decoded.cells.count == (isZero ? 0 : tabs + 1))
        #expect(exercise(sample.bytes) == nil)
    }

    @Test func `holds every kind of message and of old tuple`() throws {
        var kinds: Set<String> = []
        for sample in Corpus.samples("pgoutput") {
            var decoded = Decoded()
            switch try decoded.decode(sample.bytes) {
            case .begin: kinds.insert("begin")
            case .commit: kinds.insert("commit")
            case .origin: kinds.insert("origin")
            case .relation(let relation): kinds.insert("relation \(relation.replicaIdentity)")
            case .type: kinds.insert("type")
            case .insert(_, let new):
                kinds.insert(new.count == 0 ? "insert without columns" : "insert")
            case .update(_, let old, _, _):
                kinds.insert("update \(old)")
                if decoded.cells.contains(.unchanged) { kinds.insert("unchanged") }
            case .delete(_, let old, _): kinds.insert("delete \(old)")
            case .truncate(let truncate):
                kinds.insert(truncate.cascade ? "truncate cascade" : "truncate")
            case .logicalMessage(let message):
                kinds.insert(message.transactional ? "message within" : "message outside")
            }
        }
        #expect(
            kinds == [
                "begin", "commit", "origin", "relation default", "relation full",
                "relation index", "type", "insert", "insert without columns", "update none",
                "update key", "update full", "unchanged", "delete key", "delete full",
                "truncate", "truncate cascade", "message within", "message outside",
            ]
        )
    }
}
