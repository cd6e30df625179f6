// SPDX-License-Identifier: Apache-2.0
//
// The envelope around the values, byte for byte, and what stands in before and after.

import ChangeModel
import Foundation
import Sink
import Testing

@Suite struct EnvelopeTests {
    private let source = #""source":{"version":"0.1.0","connector":"postgresql","name":"orders","#

    private func items() -> ChangeBatch {
        var batch = ChangeBatch()
        batch.addRelation(columns: [
            ("id", .integer, true), ("name", .text, false), ("tags", .text, false),
        ])
        return batch
    }

    @Test func `an insert is a whole line`() throws {
        var batch = items()
        batch.addChange(
            .insert,
            new: ["1", "a", .null],
            lsn: LSN(0x16B3000),
            ordinal: 3,
            relationOrdinal: 2
        )
        let line = try lines(of: batch)
        #expect(
            line == [
                #"{"before":null,"after":{"id":1,"name":"a","tags":null},"# + source
                    + #""ts_ms":1700000000123,"snapshot":"false","db":"shop","#
                    + #""sequence":"[\"23803720\",\"3\"]","ts_us":1700000000123456,"#
                    + #""schema":"public","table":"items","txId":771,"lsn":23801856},"#
                    + #""transaction":{"id":"771:23803720","total_order":3,"#
                    + #""data_collection_order":2},"op":"c","ts_ms":1700000001000}"#
            ]
        )
    }

    @Test func `a row of a snapshot has no transaction`() throws {
        var batch = items()
        batch.addTransaction(xid: 0)
        batch.addChange(
            .read,
            new: ["1", "a", "b"],
            lsn: LSN(0x16B3748),
            ordinal: 0,
            relationOrdinal: 0
        )
        #expect(
            try lines(of: batch) == [
                #"{"before":null,"after":{"id":1,"name":"a","tags":"b"},"# + source
                    + #""ts_ms":1700000000123,"snapshot":"true","db":"shop","#
                    + #""sequence":"[\"23803720\",\"0\"]","ts_us":1700000000123456,"#
                    + #""schema":"public","table":"items","txId":null,"lsn":23803720},"#
                    + #""transaction":null,"op":"r","ts_ms":1700000001000}"#
            ]
        )
    }

    @Test func `before and after of each kind of change`() throws {
        var batch = items()
        let key: (OldTuple, [Field]) = (.key, ["7", .null, .absent])
        let full: (OldTuple, [Field]) = (.full, ["7", "x", "long"])
        batch.addChange(.update, new: ["7", "y", .unchanged])
        batch.addChange(.update, new: ["8", "y", .unchanged], old: key)
        batch.addChange(.update, new: ["7", "y", .unchanged], old: full)
        batch.addChange(.delete, old: key)
        batch.addChange(.delete, old: full)
        batch.addChange(.truncate)
        batch.addChange(.insert, new: [.absent, "y", .absent])
        batch.addChange(.insert, new: [.absent, .absent, .absent])
        batch.addChange(.delete, old: (.none, []))
        let beginnings = try lines(of: batch).map { line in
            line.components(separatedBy: #","source":"#)[0]
        }
        let operations = try lines(of: batch).map { line in
            line.components(separatedBy: #""op":"#)[1].prefix(3)
        }
        #expect(operations == ["u", "u", "u", "d", "d", "t", "c", "c", "d"].map { "\"\($0)\"" })
        #expect(
            beginnings == [
                #"{"before":null,"after":{"id":7,"name":"y","tags":"__debezium_unavailable_value"}"#,
                #"{"before":{"id":7},"after":"#
                    + #"{"id":8,"name":"y","tags":"__debezium_unavailable_value"}"#,
                #"{"before":{"id":7,"name":"x","tags":"long"},"#
                    + #""after":{"id":7,"name":"y","tags":"long"}"#,
                #"{"before":{"id":7},"after":null"#,
                #"{"before":{"id":7,"name":"x","tags":"long"},"after":null"#,
                #"{"before":null,"after":null"#,
                #"{"before":null,"after":{"name":"y"}"#,
                #"{"before":null,"after":{}"#,
                #"{"before":null,"after":null"#,
            ]
        )
    }

    @Test func `an unchanged value of any type is the same placeholder`() throws {
        let placeholder = #""__debezium_unavailable_value""#
        for type in [.binary, .hstore, .array(element: .integer, delimiter: 0x2C)] as [ValueType] {
            #expect(try json(type, .unchanged) == placeholder)
        }
    }

    @Test func `names are escaped, and a long name is whole`() throws {
        var batch = ChangeBatch()
        let long = String(repeating: "n", count: 63)
        batch.addRelation(
            "a\"b",
            schema: "s\\",
            columns: [("x\"\n", .integer, false), (long, .integer, false)]
        )
        batch.addChange(.insert, new: ["1", "2"])
        let line = try lines(of: batch)[0]
        #expect(line.contains(#""after":{"x\"\n":1,"\#(long)":2}"#))
        #expect(line.contains(#""schema":"s\\","table":"a\"b","#))
        let event = try #require(try object(line))
        #expect((event["source"] as? [String: Any])?["table"] as? String == "a\"b")
    }

    @Test func `a table without columns has empty rows`() throws {
        var batch = ChangeBatch()
        batch.addRelation(columns: [])
        batch.addChange(.insert)
        #expect(try lines(of: batch)[0].hasPrefix(#"{"before":null,"after":{},"source":"#))
    }

    @Test func `transactions, relations and batches follow each other in one encoder`() throws {
        var batch = items()
        let other = batch.addRelation(
            "others",
            version: 2,
            columns: [("key", .text, true)]
        )
        batch.addTransaction(xid: 1, commitLSN: LSN(100))
        batch.addChange(.insert, new: ["1", "a", "b"])
        batch.addChange(.insert, relation: other, new: ["k"], ordinal: 2)
        batch.addTransaction(xid: 2, commitLSN: LSN(UInt64.max))
        batch.addChange(.insert, relation: other, new: ["l"])
        var encoder = testEncoder()
        var buffer = OutputBuffer()
        try encoder.encode(batch, changes: 0..<3, at: testNow, into: &buffer)
        var second = ChangeBatch()
        second.addRelation("others", version: 2, columns: [("key", .text, true)])
        second.addTransaction(xid: 3, commitLSN: LSN(300))
        second.addChange(.insert, new: ["m"])
        try encoder.encode(second, changes: 0..<1, at: testNow, into: &buffer)
        let ids = try buffer.string.split(separator: "\n").map { line in
            let event = try object(String(line))
            let source = event?["source"] as? [String: Any]
            let transaction = event?["transaction"] as? [String: Any]
            return "\(source?["table"] ?? "") \(transaction?["id"] ?? "")"
        }
        #expect(
            ids == ["items 1:100", "others 1:100", "others 2:18446744073709551615", "others 3:300"]
        )
    }

    @Test func `encoding stops at the byte limit and goes on from there`() throws {
        var batch = items()
        for index in 0..<10 { batch.addChange(.insert, new: [.text("\(index)"), "a", "b"]) }
        var encoder = testEncoder()
        var buffer = OutputBuffer()
        let next = try encoder.encode(
            batch,
            changes: 0..<10,
            at: testNow,
            into: &buffer,
            upTo: 1000
        )
        #expect(next == 3)
        try encoder.encode(batch, changes: next..<10, at: testNow, into: &buffer)
        #expect(buffer.string.split(separator: "\n").map(String.init) == (try lines(of: batch)))
    }

    private func object(_ line: String) throws -> [String: Any]? {
        try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
    }
}
