// SPDX-License-Identifier: Apache-2.0
//
// The broker and its readers, where a fault in them would make the tests of the kafka sink lie.
import Glibc
import Support
import Testing

@Suite(.enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence)))
struct KafkaFixtureTests {
    @Test
    func `a record is read with key, value, header and what is absent`() async throws {
        let broker = try await KafkaBroker.start()
        try broker.createTopic("t", partitions: 3, config: ["retention.ms": "86400000"])
        #expect(try broker.config(of: "t")["retention.ms"] == "86400000")
        try broker.python(
            """
            p = confluent_kafka.Producer({'bootstrap.servers': broker})
            p.produce('t', key='{"id":1}', value='{"a":"grüße"}', partition=2, timestamp=5,
                headers=[('__debezium.newkey', b'{"id":2}')])
            p.produce('t', key='{"id":1}', partition=2)
            p.produce('t', value='', partition=0)
            p.flush()
            """
        )
        #expect(try broker.partitionCounts() == ["t": 3])
        let records = try broker.records(of: "t").sorted { $0.partition > $1.partition }
        #expect(records.map(\.partition) == [2, 2, 0])
        #expect(records.map(\.key) == [#"{"id":1}"#, #"{"id":1}"#, nil])
        #expect(records.map(\.value) == [#"{"a":"grüße"}"#, nil, ""])
        #expect(records.first?.header("__debezium.newkey") == #"{"id":2}"#)
        #expect(records.last?.headers == "")
        #expect(records.first?.timestamp == 5)
        #expect(try broker.records(of: "absent").isEmpty)
    }

    @Test
    func `an aborted transaction is hidden, and a restart loses nothing`() async throws {
        let broker = try await KafkaBroker.start()
        try broker.python(
            """
            p = confluent_kafka.Producer({'bootstrap.servers': broker, 'transactional.id': 'x'})
            p.init_transactions()
            for text in ['aborted', 'committed']:
                p.begin_transaction()
                p.produce('t', value=text)
                p.flush()
                p.abort_transaction() if text == 'aborted' else p.commit_transaction()
            """
        )
        for _ in 0..<2 {
            #expect(try broker.records(of: "t").map(\.value) == ["committed"])
            let all = try broker.records(of: "t", isolation: .uncommitted).map(\.value)
            #expect(all == ["aborted", "committed"])
            try await broker.restart()
        }
    }

    @Test
    func `a broker that stands still goes on, and one that is released is gone`() async throws {
        let broker = try await KafkaBroker.start()
        let pid = try #require(broker.pid)
        broker.suspend()
        #expect(try broker.kcat(["-L", "-m", "1"]).status != .code(0))
        broker.resume()
        #expect(try broker.kcat(["-P", "-t", "t"], input: "x").status == .code(0))
        #expect(try broker.records(of: "t").count == 1)
        _ = consume broker
        try await eventually { kill(pid, 0) != 0 }
    }
}
