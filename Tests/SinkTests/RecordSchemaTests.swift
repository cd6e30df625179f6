// SPDX-License-Identifier: Apache-2.0
//
// Records with schemas: every payload is what its schema says, or there is no record.

import ChangeModel
import Sink
import Testing

private let comma: UInt8 = 0x2C

@Suite struct RecordSchemaTests {
    @Test func `key and value of an event are Debezium's, around the same payload`() throws {
        var batch = ChangeBatch()
        batch.addRelation(columns: [("id", .integer, true), ("name", .text, false)])
        batch.addChange(.insert, new: ["1", "a"])
        let record = try records(of: batch, form: .typed)[0]
        #expect(
            record.key == #"{"schema":{"type":"struct","fields":["#
                + #"{"type":"int64","optional":false,"field":"id"}],"optional":false,"#
                + #""name":"shop.public.items.Key"},"payload":{"id":1}}"#
        )
        let row =
            #"[{"type":"int64","optional":true,"field":"id"},"#
            + #"{"type":"string","optional":true,"field":"name"}],"optional":true,"#
            + #""name":"shop.public.items.Value","field":"#
        let value = try #require(record.value)
        #expect(
            value.hasPrefix(
                #"{"schema":{"type":"struct","fields":[{"type":"struct","fields":"# + row
                    + #""before"},{"type":"struct","fields":"# + row + #""after"},"#
                    + #"{"type":"struct","fields":[{"type":"string","optional":false,"#
                    + #""field":"version"},"#
            )
        )
        #expect(value.contains(#""name":"io.debezium.connector.postgresql.Source","version":1,"#))
        #expect(value.contains(#""name":"event.block","version":1,"field":"transaction"}"#))
        let payload =
            #"],"optional":false,"name":"shop.public.items.Envelope","version":2},"payload":"#
        #expect(value.hasSuffix(payload + (try lines(of: batch)[0]) + "}"))
        #expect(try connectFaults(value) == [])
        #expect(try connectFaults(record.key ?? "") == [])
    }

    @Test func `all records of all kinds of changes agree with their schemas`() throws {
        var batch = ChangeBatch()
        batch.addRelation(columns: [
            ("id", .integer, true), ("name", .text, false), ("raw", .binary, false),
        ])
        batch.addRelation("log", version: 2, identity: .nothing, columns: [("l", .text, false)])
        batch.addChange(.read, new: ["1", "a", "\\x00"], ordinal: 0)
        batch.addChange(.read, relation: 1, new: ["a"], ordinal: 0)
        batch.addChange(.insert, relation: 1, new: [.null])
        batch.addChange(
            .update,
            new: ["2", .unchanged, .unchanged],
            old: (.key, ["1", .null, .null])
        )
        batch.addChange(.delete, old: (.key, ["2", .absent, .absent]))
        batch.addChange(.truncate)
        let result = try records(of: batch, form: .typed)
        #expect(result.count == 9)
        for record in result {
            let header = record.header.map { String($0.dropFirst("newkey ".count)) }
            for text in [record.key, record.value, header].compactMap({ $0 }) {
                #expect(try connectFaults(text) == [])
            }
        }
        #expect(
            result[1].key?.hasSuffix(
                #""name":"shop.public.log.Key"},"payload":{"sequence":"[\"23803720\",\"0\",\"1\"]"}}"#
            ) == true
        )
        #expect(result[3].header == "newkey " + (result[5].key ?? ""))
    }

    @Test func `names are escaped in schemas, too`() throws {
        var batch = ChangeBatch()
        batch.addRelation("a\"b", schema: "s\\", columns: [("x\"\n", .text, true)])
        batch.addChange(.insert, new: ["1"])
        let record = try records(of: batch, form: .typed)[0]
        #expect(try connectFaults(record.key ?? "") == [])
        #expect(try connectFaults(record.value ?? "") == [])
        #expect(record.key?.contains(#""name":"shop.s\\.a\"b.Key""#) == true)
    }

    private static let epoch = ValueFormat(decimals: .double, temporal: .epoch)
    private static let precise = ValueFormat(decimals: .precise, temporal: .epoch)

    @Test(
        arguments: [
            (.date, "infinity", "2147483647"), (.date, "-infinity", "-2147483648"),
            (.date, "5874897-12-31", "2145042905"), (.date, "4713-01-01 BC", "-2440550"),
            (.timestamp(precision: 6), "infinity", "9223372036825200000"),
            (.timestamp(precision: 6), "-infinity", "-9223372036832400000"),
            (.timestamp(precision: 3), "infinity", "9223372036825200"),
            (.timestamp(precision: 0), "-infinity", "-9223372036832400"),
            (.timestamp(precision: 6), "294247-01-10 04:00:54.775807", "9223372036854775807"),
            (.timestamp(precision: 6), "294247-01-10 04:00:54.775808", "9223372036854775807"),
            (.timestamp(precision: 6), "294276-12-31 23:59:59", "9223372036854775807"),
            (.timestamp(precision: 6), "2024-01-01 00:00:00", "1704067200000000"),
            (.timestampWithZone(precision: 6), "infinity", "\"infinity\""),
            (.interval, "infinity", "9223372036854775807"),
            (.interval, "-infinity", "-9223372036854775808"),
            (.numeric(scale: nil), "NaN", "\"NaN\""),
            (.numeric(scale: nil), "-Infinity", "\"-Infinity\""),
            (.numeric(scale: nil), "1" + zeros(309), "\"Infinity\""),
            (.numeric(scale: 2), "-1" + zeros(309), "\"-Infinity\""),
            (.numeric(scale: 2), "1.50", "1.50"),
            (.array(element: .date, delimiter: comma), "{infinity,NULL}", "[2147483647,null]"),
            (.array(element: .numeric(scale: nil), delimiter: comma), "{}", "[]"),
        ] as [(ValueType, String, String)]
    )
    func `what a type cannot say is its nearest value`(
        type: ValueType,
        text: String,
        json: String
    ) throws {
        let value = try typedValue(type, .text(text), oid: 0, format: Self.epoch)
        #expect(value.json == json)
        #expect(value.faults == [])
    }

    @Test(
        arguments: [
            (.numeric(scale: 2), "NaN"), (.numeric(scale: nil), "NaN"),
            (.numeric(scale: nil), "Infinity"), (.numeric(scale: nil), "-Infinity"),
            (.array(element: .numeric(scale: nil), delimiter: comma), "{1,NaN}"),
            (.array(element: .integer, delimiter: comma), "{{1,2},{3,4}}"),
            (.array(element: .text, delimiter: comma), "[0:0][1:2]={{a,b}}"),
            (.integer, "9223372036854775808"), (.integer, "18446744073709551615"),
            (.array(element: .integer, delimiter: comma), "{18446744073709551615}"),
        ] as [(ValueType, String)]
    )
    func `what a type has no value for is refused`(type: ValueType, text: String) throws {
        let error = #expect(throws: WalrelayError.self) {
            try typedValue(type, .text(text), oid: 0, format: Self.precise)
        }
        #expect(error?.code == "value.beyond_schema")
        #expect(error?.exit == .refused)
        #expect(error?.message.contains(text) == false)
        // Without schemas it is an event.
        #expect(throws: Never.self) { try json(type, .text(text), format: Self.precise) }
    }

    @Test func `a value that is malformed is so with schemas, and after a refusal`() throws {
        var batch = ChangeBatch()
        batch.addRelation(columns: [("d", .date, true), ("n", .numeric(scale: 2), false)])
        batch.addChange(.insert, new: ["2024-01-01", "NaN"])
        batch.addChange(.insert, new: ["2024-13-01", "1"])
        var encoder = recordEncoder(.typed, Self.precise)
        var codes: [String] = []
        for index in 0..<2 {
            var buffer = OutputBuffer()
            var result: [EventRecord] = []
            do throws(WalrelayError) {
                try encoder.encode(
                    batch,
                    changes: index..<(index + 1),
                    at: testNow,
                    into: &buffer,
                    records: &result
                )
            } catch {
                codes.append(error.code)
            }
            #expect(buffer.count == 0)
            #expect(result.isEmpty)
        }
        #expect(codes == ["value.beyond_schema", "value.malformed"])
    }

    @Test func `a large value that was not sent is a placeholder of its type`() throws {
        let text = #""__debezium_unavailable_value""#
        let bytes = #""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#
        let list = "[" + "__debezium_unavailable_value".utf8.map(String.init).joined(separator: ",")
        let hex = ValueFormat(binary: .hex)
        for (type, format, json) in [
            (.text, hex, text), (.hstore, hex, text), (.binary, hex, text),
            (.binary, Self.epoch, bytes), (.numeric(scale: nil), hex, text),
            (.numeric(scale: 2), Self.precise, bytes),
            (.numeric(scale: nil), Self.precise, #"{"scale":0,"value":\#(bytes)}"#),
            (.array(element: .text, delimiter: comma), hex, "[\(text)]"),
            (.array(element: .binary, delimiter: comma), Self.epoch, "[\(bytes)]"),
            (.array(element: .integer, delimiter: comma), hex, list + "]"),
            (.array(element: .date, delimiter: comma), Self.epoch, list + "]"),
            (.array(element: .float, delimiter: comma), hex, list + "]"),
        ] as [(ValueType, ValueFormat, String)] {
            let value = try typedValue(type, .unchanged, oid: 0, format: format)
            #expect(value.json == json, "\(type)")
            #expect(value.faults == [], "\(type)")
        }
        for type in [.numeric(scale: 2), .array(element: .boolean, delimiter: comma)] as [ValueType]
        {
            let error = #expect(throws: WalrelayError.self) {
                try typedValue(type, .unchanged, oid: 0, format: Self.epoch)
            }
            #expect(error?.code == "value.beyond_schema")
        }
    }

    @Test func `the test's own reader finds what does not agree`() throws {
        let number = #"{"schema":{"type":"int32","optional":false},"payload":"#
        #expect(try connectFaults(number + "1}") == [])
        for payload in ["\"1\"", "null", "1.5", "2147483648", "true", "[1]", "{}"] {
            #expect(try connectFaults(number + payload + "}") != [], "\(payload)")
        }
        let row =
            #"{"schema":{"type":"struct","optional":true,"fields":["#
            + #"{"type":"bytes","optional":true,"field":"a"}]},"payload":"#
        for payload in [#"{"a":"AA=="}"#, "{}", "null", #"{"a":null}"#] {
            #expect(try connectFaults(row + payload + "}") == [], "\(payload)")
        }
        for payload in [#"{"a":"_"}"#, #"{"b":1}"#, "[]", #"{"a":["AA=="]}"#] {
            #expect(try connectFaults(row + payload + "}") != [], "\(payload)")
        }
    }

    private static func zeros(_ count: Int) -> String { String(repeating: "0", count: count) }
}
