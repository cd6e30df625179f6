// SPDX-License-Identifier: Apache-2.0
//
// What each kind of change becomes: keys, values, tombstones, headers.

import ChangeModel
import Sink
import Testing

@Suite struct RecordTests {
    private func items(
        identity: ReplicaIdentity = .default,
        primaryKey: [String] = []
    ) -> ChangeBatch {
        var batch = ChangeBatch()
        let isFull = identity == .full
        let isNothing = identity == .nothing
        batch.addRelation(
            identity: identity,
            primaryKey: primaryKey,
            columns: [
                ("id", .integer, !isNothing), ("name", .text, isFull), ("tags", .text, isFull),
            ]
        )
        return batch
    }

    private func key(_ id: String) -> String { #"{"id":\#(id)}"# }

    @Test func `inserts and rows of a snapshot are one record with the row's key`() throws {
        var batch = items()
        batch.addChange(.insert, new: ["1", "a", .null])
        batch.addChange(.read, new: ["2", "b", "c"], ordinal: 0)
        let result = try records(of: batch)
        #expect(result.map(\.key) == [key("1"), key("2")])
        #expect(result.map(\.change) == [0, 1])
        #expect(result.allSatisfy { $0.header == nil && !$0.isKeyless })
        #expect(result.compactMap(\.value) == (try lines(of: batch)))
    }

    @Test func `a delete is followed by a tombstone, where those are wanted`() throws {
        var batch = items()
        batch.addChange(.delete, old: (.key, ["3", .absent, .absent]))
        batch.addChange(.insert, new: ["4", "a", "b"])
        let result = try records(of: batch)
        #expect(result.map(\.key) == [key("3"), key("3"), key("4")])
        #expect(result.map(\.change) == [0, 0, 1])
        #expect(result.map { $0.value == nil } == [false, true, false])
        #expect(result[0].row == #"d {"before":{"id":3},"after":null}"#)
        let form = RecordForm(topicPrefix: "shop", tombstones: false)
        #expect(try records(of: batch, form: form) == [result[0], result[2]])
    }

    @Test func `an update that leaves the key as it was is one record`() throws {
        for (identity, old) in [
            (.default, (.none, [])),
            // The server sends an old key also where a part of it is TOASTed and unchanged.
            (.default, (.key, ["7", .absent, .absent])),
            (.full, (.full, ["7", "x", "long"])),
        ] as [(ReplicaIdentity, (OldTuple, [Field]))] {
            var batch = items(identity: identity, primaryKey: ["id"])
            batch.addChange(.update, new: ["7", "y", .unchanged], old: old)
            let result = try records(of: batch)
            #expect(result.map(\.key) == [key("7")])
            #expect(result.map(\.header) == [nil])
            #expect(result.compactMap(\.value) == (try lines(of: batch)))
        }
    }

    @Test func `a change of the key is a delete, a tombstone and an insert`() throws {
        var batch = items()
        batch.addChange(
            .update,
            new: ["8", "y", .unchanged],
            old: (.key, ["7", .absent, .absent]),
            ordinal: 5
        )
        let result = try records(of: batch)
        #expect(result.map(\.key) == [key("7"), key("7"), key("8")])
        #expect(result.map(\.header) == ["newkey " + key("8"), nil, "oldkey " + key("7")])
        #expect(result.map { $0.value == nil } == [false, true, false])
        #expect(result[0].row == #"d {"before":{"id":7},"after":null}"#)
        #expect(
            result[2].row == #"c {"before":null,"after":{"id":8,"name":"y","#
                + #""tags":"__debezium_unavailable_value"}}"#
        )
        // Both tell the same change: a reader drops repeats by key and sequence.
        for record in [result[0], result[2]] {
            #expect(record.value?.contains(#""sequence":"[\"23803720\",\"5\"]""#) == true)
            #expect(record.value?.contains(#""total_order":5,"#) == true)
        }
        let form = RecordForm(topicPrefix: "shop", tombstones: false)
        #expect(try records(of: batch, form: form) == [result[0], result[2]])
    }

    @Test func `a change of the key under FULL tells the whole rows`() throws {
        var batch = items(identity: .full, primaryKey: ["id"])
        batch.addChange(
            .update,
            new: ["8", "y", .unchanged],
            old: (.full, ["7", "x", "long"])
        )
        let result = try records(of: batch)
        #expect(
            result.map(\.row) == [
                #"d {"before":{"id":7,"name":"x","tags":"long"},"after":null}"#, nil,
                #"c {"before":null,"after":{"id":8,"name":"y","tags":"long"}}"#,
            ]
        )
    }

    @Test func `the key's columns stand in the table's order whatever the identity`() throws {
        for identity in [ReplicaIdentity.default, .full] {
            var batch = ChangeBatch()
            batch.addRelation(
                identity: identity,
                primaryKey: ["z", "a"],
                columns: [
                    ("a", .text, true), ("m", .text, identity == .full), ("z", .integer, true),
                ]
            )
            batch.addChange(.insert, new: ["x", "y", "1"])
            #expect(try records(of: batch)[0].key == #"{"a":"x","z":1}"#)
        }
    }

    @Test func `an index as identity is the key, not the primary key`() throws {
        var batch = ChangeBatch()
        batch.addRelation(
            identity: .index,
            primaryKey: ["id"],
            columns: [("id", .integer, false), ("mail", .text, true)]
        )
        batch.addChange(.insert, new: ["1", "a@b"])
        batch.addChange(.update, new: ["2", "a@b"])
        batch.addChange(.update, new: ["2", "c@d"], old: (.key, [.absent, "a@b"]))
        batch.addChange(.delete, old: (.key, [.absent, "c@d"]))
        let result = try records(of: batch)
        let first = #"{"mail":"a@b"}"#
        let second = #"{"mail":"c@d"}"#
        #expect(result.map(\.key) == [first, first, first, first, second, second, second])
    }

    @Test func `without an identity the primary key names what is inserted`() throws {
        var batch = items(identity: .nothing, primaryKey: ["id"])
        batch.addChange(.insert, new: ["1", "a", "b"])
        #expect(try records(of: batch).map(\.key) == [key("1")])
    }

    @Test func `a TOASTed key that was not sent again is that of the old row`() throws {
        var batch = ChangeBatch()
        batch.addRelation(columns: [
            ("id", .integer, true), ("long", .text, true), ("n", .integer, false),
        ])
        batch.addChange(
            .update,
            new: ["2", .unchanged, "5"],
            old: (.key, ["1", "LONG", .absent])
        )
        batch.addChange(
            .update,
            new: ["2", .unchanged, "6"],
            old: (.key, ["2", "LONG", .absent])
        )
        let result = try records(of: batch)
        let old = #"{"id":1,"long":"LONG"}"#
        let new = #"{"id":2,"long":"LONG"}"#
        #expect(result.map(\.key) == [old, old, new, new])
        #expect(result[2].row == #"c {"before":null,"after":{"id":2,"long":"LONG","n":5}}"#)
        #expect(
            result[3].row == #"u {"before":{"id":2,"long":"LONG"},"#
                + #""after":{"id":2,"long":"LONG","n":6}}"#
        )
    }

    @Test func `a key that was not sent is an error`() throws {
        var batch = items()
        batch.addChange(.update, new: [.unchanged, "a", "b"], lsn: LSN(0x16_B374_D848))
        let error = #expect(throws: WalrelayError.self) { try records(of: batch) }
        #expect(error?.code == "key.not_sent")
        #expect(error?.exit == .refused)
        #expect(error?.message.contains("\"id\" of table public.items, LSN 16/B374D848") == true)
        batch.changes.removeAll()
        batch.addChange(.delete)
        #expect(throws: WalrelayError.self) { try records(of: batch) }
    }

    @Test func `a truncate is one record without a key`() throws {
        for identity in [ReplicaIdentity.default, .nothing] {
            var batch = items(identity: identity)
            batch.addChange(.truncate)
            let result = try records(of: batch)
            #expect(result.map(\.key) == [nil])
            #expect(result.map(\.isKeyless) == [false])
            #expect(result[0].row == #"t {"before":null,"after":null}"#)
        }
    }

    @Test func `rows without a key are told apart by their place`() throws {
        var batch = items(identity: .full)
        batch.addTransaction(xid: 5, commitLSN: LSN(100))
        batch.addChange(.insert, new: ["1", "a", "b"], ordinal: 1)
        batch.addChange(
            .update,
            new: ["2", "a", "b"],
            old: (.full, ["1", "a", "b"]),
            ordinal: 2
        )
        batch.addChange(.delete, old: (.full, ["2", "a", "b"]), ordinal: 3)
        batch.addTransaction(xid: 0, commitLSN: LSN(100))
        batch.addChange(.read, new: ["1", "a", "b"], ordinal: 0)
        batch.addChange(.read, new: ["1", "a", "b"], ordinal: 0)
        let result = try records(of: batch)
        #expect(
            result.map(\.key) == [
                #"{"sequence":"[\"100\",\"1\"]"}"#, #"{"sequence":"[\"100\",\"2\"]"}"#,
                #"{"sequence":"[\"100\",\"3\"]"}"#, #"{"sequence":"[\"100\",\"0\",\"1\"]"}"#,
                #"{"sequence":"[\"100\",\"0\",\"2\"]"}"#,
            ]
        )
        #expect(result.allSatisfy { $0.isKeyless && $0.header == nil && $0.value != nil })
        #expect(result.compactMap(\.value) == (try lines(of: batch)))
    }

    @Test func `a name of a key is escaped`() throws {
        var batch = ChangeBatch()
        batch.addRelation(columns: [("x\"\n", .text, true)])
        batch.addChange(.insert, new: ["a\"b"])
        #expect(try records(of: batch)[0].key == #"{"x\"\n":"a\"b"}"#)
    }

    @Test func `encoding stops at the byte limit and never within a change`() throws {
        var batch = items()
        for index in 0..<10 {
            batch.addChange(
                .update,
                new: [.text("\(index + 1)"), "a", "b"],
                old: (.key, [.text("\(index)"), .absent, .absent])
            )
        }
        var encoder = recordEncoder()
        var buffer = OutputBuffer()
        var result: [EventRecord] = []
        let next = try encoder.encode(
            batch,
            changes: 0..<10,
            at: testNow,
            into: &buffer,
            records: &result,
            upTo: 1
        )
        #expect(next == 1)
        #expect(result.count == 3)
        try encoder.encode(
            batch,
            changes: next..<10,
            at: testNow,
            into: &buffer,
            records: &result
        )
        #expect(result.map { TextRecord($0, buffer) } == (try records(of: batch)))
    }

    @Test func `after an error stands what was before the change at fault`() throws {
        var batch = items()
        batch.addChange(.insert, new: ["1", "a", "b"])
        // The first of its two events could be made, the second cannot.
        batch.addChange(
            .update,
            new: ["3", .text([0xFF]), "b"],
            old: (.key, ["2", .absent, .absent])
        )
        var encoder = recordEncoder()
        encoder.validatesUTF8 = true
        var buffer = OutputBuffer()
        var result: [EventRecord] = []
        var caught: WalrelayError?
        do throws(WalrelayError) {
            try encoder.encode(
                batch,
                changes: 0..<2,
                at: testNow,
                into: &buffer,
                records: &result
            )
        } catch {
            caught = error
        }
        #expect(caught?.code == "value.encoding")
        #expect(result.map(\.change) == [0])
        #expect(result.first?.value?.upperBound == buffer.count)
    }
}
