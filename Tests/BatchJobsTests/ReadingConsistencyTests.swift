// SPDX-License-Identifier: Apache-2.0
//
// What parallel readers see while others write: one moment.

import ChangeModel
import LibPQ
import Settings
import Support
import Synchronization
import Testing

@testable import BatchJobs

struct ReadingConsistencyTests {
    private static let keys = [
        "int": "i", "uuid": "md5(i::text)::uuid", "text COLLATE \"en-x-icu\"": "md5(i::text)",
        "timestamp": "'2024-01-01'::timestamp + i * interval '1 hour'", "ctid": "i",
    ]

    @Test(arguments: keys.keys.sorted())
    func `eight readers see one moment while amounts move`(_ type: String) async throws {
        let cluster = try await PostgresCluster.start()
        let key = type == "ctid" ? "int" : type
        try cluster.psql(
            """
            CREATE TABLE account (k \(key) PRIMARY KEY, n int UNIQUE, amount bigint)
                WITH (fillfactor = 60);
            INSERT INTO account SELECT \(Self.keys[type] ?? ""), i, 1000
            FROM generate_series(1, 20000) i; ANALYZE account;
            """
        )
        let client = WritingClient(cluster, seconds: 60, perSecond: 2_000) { number in
            let (from, to) = (number * 7919 % 20_000 + 1, number * 104_729 % 20_000 + 1)
            return """
                BEGIN; UPDATE account SET amount = amount - 5 WHERE n = \(from); \
                UPDATE account SET amount = amount + 5 WHERE n = \(to); COMMIT;
                """
        }
        defer { client.stop() }
        try await eventually("the first transfers") { client.count > 50 }
        let before = client.count
        for round in 0..<4 {
            let tables = Job.PostgreSQLReader.Tables(
                ["account"],
                ["n", "amount"],
                nil,
                type == "ctid" ? nil : "k"
            )
            let source = try cluster.source(.tables(tables), channels: 8)
            let sums = Mutex((rows: 0, amount: 0, numbers: Set<Int>()))
            try await onOwnThread(named: "crew") {
                let next = Atomic<Int>(0)
                try Crew().run(8, named: "reader", stop: StopSignal()) { _, _ in
                    let reader = try source.open(.text)
                    while true {
                        let slice = next.add(1, ordering: .relaxed).oldValue
                        guard slice < source.sliceCount else { return }
                        var lines: [String] = []
                        try reader.read(slice) { _ in
                        } _: {
                            lines.append(String(decoding: $0.dropLast(), as: UTF8.self))
                        }
                        sums.withLock { sums in
                            for line in lines {
                                let values = line.split(separator: "\t").compactMap { Int($0) }
                                sums.rows += 1
                                sums.numbers.insert(values[0])
                                sums.amount += values[1]
                            }
                        }
                    }
                }
            }
            source.close()
            let seen = sums.withLock { $0 }
            #expect(source.sliceCount >= 16, "round \(round)")
            #expect(seen.rows == 20_000)
            #expect(seen.numbers.count == 20_000)
            #expect(seen.amount == 20_000_000)
        }
        #expect(client.count > before + 50)
        #expect(client.errors.isEmpty)
        client.stop()
        try await client.wait(.seconds(90))
    }

    @Test func `DDL waits until the job has its rows`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql("CREATE TABLE t AS SELECT generate_series(1, 1000) i")
        let source = try cluster.source(.tables(.init(["t"])))
        let blocked = try cluster.psql(
            "SET lock_timeout = '100ms'; DO $$ BEGIN TRUNCATE t; EXCEPTION WHEN lock_not_available "
                + "THEN RAISE NOTICE 'locked'; END $$; INSERT INTO t SELECT 7; SELECT count(*) FROM t"
        )
        #expect(blocked == "1001")
        #expect(try source.records().lines.count == 1000)
        source.close()
        try cluster.psql("SET lock_timeout = '5s'; TRUNCATE t")
    }

    @Test func `a standby is read as a primary is`() async throws {
        let primary = try await PostgresCluster.start()
        try primary.psql("CREATE TABLE t AS SELECT i FROM generate_series(1, 9000) i; ANALYZE t")
        let standby = try await primary.startStandby()
        let records = try standby.read(table: "t", splitPk: "i", channels: 2)
        #expect(Set(records.lines.compactMap { Int($0) }) == Set(1...9000))
        #expect(records.lines.count == 9000)
    }
}
