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

    private func texts(_ record: MetadataRecord, _ buffer: borrowing OutputBuffer) -> [String] {
        [buffer.text(record.key), buffer.text(record.value)]
    }

    @Test func `a transaction's beginning and end are Debezium's`() {
        let encoder = MetadataRecordEncoder(task: "orders", schemas: false)
        var buffer = OutputBuffer()
        var tally = TransactionTally()
        tally.add(batch(), changes: 0..<5)
        let begin = encoder.appendBegin(transaction, into: &buffer)
        let end = encoder.appendEnd(transaction, tally, into: &buffer)
        let id = #""id":"771:23803720""#
        #expect(
            texts(begin, buffer) == [
                "{\(id)}",
                #"{"status":"BEGIN",\#(id),"event_count":null,"data_collections":null,"#
                    + #""ts_ms":1700000000123}"#,
            ]
        )
        #expect(
            texts(end, buffer) == [
                "{\(id)}",
                #"{"status":"END",\#(id),"event_count":5,"data_collections":["#
                    + #"{"data_collection":"public.o\"ther","event_count":3},"#
                    + #"{"data_collection":"public.items","event_count":2}],"#
                    + #""ts_ms":1700000000123}"#,
            ]
        )
    }

    @Test func `a tally is right that was made in pieces, or begun in the middle`() {
        var whole = TransactionTally()
        whole.add(batch(), changes: 0..<5)
        #expect(whole.eventCount == 5)
        var pieces = TransactionTally()
        pieces.add(batch(), changes: 0..<2)
        pieces.add(batch(), changes: 2..<5)
        #expect(pieces.eventCount == 5)
        var late = TransactionTally()
        late.add(batch(), changes: 2..<5)
        #expect(late.eventCount == 5)
        late.removeAll()
        late.add(batch(), changes: 0..<0)
        #expect(late.eventCount == 0)
    }

    @Test func `a heartbeat tells the time and the position`() {
        let encoder = MetadataRecordEncoder(task: "orders", schemas: false)
        var buffer = OutputBuffer()
        let record = encoder.appendHeartbeat(LSN(0x16B3748), at: testNow, into: &buffer)
        #expect(
            texts(record, buffer) == [
                #"{"serverName":"orders"}"#, #"{"ts_ms":1700000001000,"lsn":23803720}"#,
            ]
        )
    }

    @Test func `with schemas they agree with them`() throws {
        let encoder = MetadataRecordEncoder(task: "orders", schemas: true)
        var buffer = OutputBuffer()
        var tally = TransactionTally()
        tally.add(batch(), changes: 0..<5)
        for record in [
            encoder.appendBegin(transaction, into: &buffer),
            encoder.appendEnd(transaction, tally, into: &buffer),
            encoder.appendHeartbeat(LSN(5), at: testNow, into: &buffer),
        ] {
            for text in texts(record, buffer) { #expect(try connectFaults(text) == []) }
        }
    }
}
