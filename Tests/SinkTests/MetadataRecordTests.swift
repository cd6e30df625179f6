// SPDX-License-Identifier: Apache-2.0
//
// Transaction records and heartbeats, byte for byte, and what a tally counts.

import ChangeModel
import Sink
import Testing

@Suite struct MetadataRecordTests {
    private let transaction = Transaction(
        xid: 771,
        commitLSN: LSN(23_803_720),
        commitTime: PostgresTime(unixMicroseconds: 1_700_000_000_123_456)
    )

    private func batch() -> ChangeBatch {
        var batch = ChangeBatch()
        batch.addRelation(oid: 1, columns: [("id", .integer, true)])
        batch.addRelation("o\"ther", version: 2, oid: 2, columns: [("id", .integer, true)])
        // The first table as it is after a change of its columns.
        batch.addRelation(version: 3, oid: 1, columns: [("id", .text, true)])
        batch.addChange(.insert, relation: 1, new: ["1"], ordinal: 1, relationOrdinal: 1)
        batch.addChange(.insert, relation: 0, new: ["1"], ordinal: 2, relationOrdinal: 1)
        batch.addChange(.insert, relation: 2, new: ["1"], ordinal: 3, relationOrdinal: 2)
        batch.addChange(.insert, relation: 1, new: ["1"], ordinal: 4, relationOrdinal: 2)
        batch.addChange(.insert, relation: 1, new: ["1"], ordinal: 5, relationOrdinal: 3)
        return batch
    }

    private func texts(_ record: MetadataRecord) -> [String] {
        [record.key, record.value].map { String(decoding: $0, as: UTF8.self) }
    }

    private func tally(_ ranges: Range<Int>...) -> TransactionTally {
        var tally = TransactionTally()
        for range in ranges {
            tally.enter(batch())
            tally.count(batch(), range)
        }
        return tally
    }

    @Test func `a transaction's beginning and end are Debezium's`() {
        let encoder = MetadataRecordEncoder(serverName: "shop", schemas: false)
        let begin = encoder.begin(transaction)
        let end = encoder.end(transaction, tally(0..<5))
        let id = #""id":"771:23803720""#
        #expect(
            texts(begin) == [
                "{\(id)}",
                #"{"status":"BEGIN",\#(id),"event_count":null,"data_collections":null,"#
                    + #""ts_ms":1700000000123}"#,
            ]
        )
        #expect(
            texts(end) == [
                "{\(id)}",
                #"{"status":"END",\#(id),"event_count":5,"data_collections":["#
                    + #"{"data_collection":"public.o\"ther","event_count":3},"#
                    + #"{"data_collection":"public.items","event_count":2}],"#
                    + #""ts_ms":1700000000123}"#,
            ]
        )
    }

    @Test func `a tally is right that was made in pieces, or begun in the middle`() {
        let encoder = MetadataRecordEncoder(serverName: "shop", schemas: false)
        let whole = encoder.end(transaction, tally(0..<5))
        #expect(encoder.end(transaction, tally(0..<1, 1..<3, 3..<5)) == whole)
        // Each table that counts has had its last change by then.
        #expect(encoder.end(transaction, tally(3..<5)) != whole)
        #expect(tally(3..<5).eventCount == 5)
        var later = tally(0..<5)
        later.removeAll()
        #expect(later.eventCount == 0)
        // Without a look at the new batch's relations the old places are not taken for theirs.
        later.count(batch(), 0..<5)
        #expect(encoder.end(transaction, later) == whole)
    }

    @Test func `a heartbeat tells the time and the position`() {
        let encoder = MetadataRecordEncoder(serverName: "shop", schemas: false)
        #expect(
            texts(encoder.heartbeat(LSN(0x16B3748), at: testNow)) == [
                #"{"serverName":"shop"}"#, #"{"ts_ms":1700000001000,"lsn":23803720}"#,
            ]
        )
    }

    @Test func `with schemas they agree with them`() throws {
        let encoder = MetadataRecordEncoder(serverName: "shop", schemas: true)
        for record in [
            encoder.begin(transaction), encoder.end(transaction, tally(0..<5)),
            encoder.heartbeat(LSN(5), at: testNow),
        ] {
            for text in texts(record) { #expect(try connectFaults(text) == []) }
        }
    }
}
