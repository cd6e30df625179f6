// SPDX-License-Identifier: Apache-2.0
//
// The comparison while writes go on: what lies between the two snapshots is taken into account,
// whatever kind of change it is.

import ChangeModel
import Foundation
import LibPQ
import Replication
import Support
import Synchronization
import Testing

@testable import Verify

@Suite(.serialized) struct MovingTests {
    private static let tables = """
        CREATE TABLE hot (id int PRIMARY KEY, n int, big text);
        ALTER TABLE hot ALTER big SET STORAGE EXTERNAL;
        INSERT INTO hot SELECT g, 0, repeat('b' || g, 2000) FROM generate_series(1, 50) g;
        CREATE TABLE wide (k text PRIMARY KEY, v float8, t text[]);
        INSERT INTO wide SELECT 'k' || g, g / 3.0, ARRAY['a', NULL, 'x"' || g]
            FROM generate_series(1, 3000) g;
        CREATE TABLE log (at int, what text);
        ALTER TABLE log REPLICA IDENTITY FULL;
        INSERT INTO log SELECT g % 10, 'w' FROM generate_series(1, 1000) g;
        ANALYZE;
        """

    /// Every kind of change: unchanged TOAST, moving keys, rows that come and go, twins.
    private static let load = """
        BEGIN;
        UPDATE hot SET n = n + 1 WHERE id IN (1 + :a % 50, 1 + (:a + 7) % 50);
        UPDATE hot SET id = id + 1000 WHERE id = 1 + :b % 50;
        UPDATE hot SET id = id - 1000 WHERE id > 1000;
        DELETE FROM wide WHERE k = 'k' || :b; INSERT INTO wide VALUES ('k' || :b, :a / 7.0, '{}')
            ON CONFLICT (k) DO NOTHING;
        UPDATE wide SET v = :a WHERE k = 'k' || (:b + 1);
        INSERT INTO log VALUES (:b % 10, 'w'), (:b % 10, NULL);
        DELETE FROM log WHERE ctid = (SELECT ctid FROM log LIMIT 1);
        UPDATE log SET what = 'u' WHERE ctid = (SELECT ctid FROM log ORDER BY ctid DESC LIMIT 1);
        COMMIT;
        """

    /// Writes all the time until it is released, and does so when this returns.
    private static func write(_ cluster: PostgresCluster) async throws -> ChildProcess {
        let script = """
            \\set a random(1, 1000000)
            \\set b random(1, 3000)

            """
        let directory = try TemporaryDirectory()
        let path = try directory.write(script + load + "\n", to: "load.sql")
        let child = try cluster.spawn(
            "pgbench",
            [
                "-n", "-c", "2", "-R", "150", "-T", "600", "--max-tries", "100", "-f", path,
                "postgres",
            ]
        )
        try await eventually("pgbench writes") {
            try cluster.psql("SELECT count(*) FROM hot WHERE n > 0") != "0"
        }
        withExtendedLifetime(directory) {}
        return child
    }

    @Test func `tables are equal while they are written to`() async throws {
        let pair = try await Pair(Self.tables)
        try pair.begin()
        let applier = try TestApplier(pair)
        let load = try await Self.write(pair.source)
        var changes = 0
        for _ in 0..<6 {
            let report = try await pair.verify()
            #expect(report.isEqual, "\(report.tables.map(\.ranges))")
            changes += report.changesBetween
        }
        #expect(changes > 0)
        #expect(pair.catchUps.load(ordering: .relaxed) == 0)
        load.signal(SIGTERM)
        try applier.end()
    }

    @Test func `a repair mends rows while they are written to`() async throws {
        let pair = try await Pair(Self.tables)
        try pair.begin()
        let applier = try TestApplier(pair)
        let load = try await Self.write(pair.source)
        for round in 0..<3 {
            // Rows that nobody writes at the moment, and rows that are written all the time.
            try pair.target.psql(
                """
                SET session_replication_role = replica;
                BEGIN; SELECT 1 FROM walrelay.checkpoint FOR UPDATE;
                UPDATE wide SET v = -7 WHERE k LIKE 'k1\(round)%';
                DELETE FROM wide WHERE k LIKE 'k2\(round)%';
                INSERT INTO wide VALUES ('extra\(round)', NULL, NULL);
                INSERT INTO log VALUES (-1, 'never'), (-1, 'never');
                UPDATE hot SET big = '' WHERE id % 5 = \(round);
                COMMIT;
                """
            )
            let report = try await pair.verify(repairs: true)
            #expect(report.isEqual, "\(report.tables.map(\.ranges))")
            #expect((try report.table("wide").mended?.count ?? 0) > 100)
            #expect((try report.table("hot").mended?.replaced ?? 0) >= 5)
            #expect(try report.table("log").mended?.deleted == 2)
            #expect(report.heldSeconds < 60)
        }
        load.signal(SIGTERM)
        // What is left of the load arrives; then an independent comparison.
        let last = try pair.source.psql("SELECT pg_current_wal_lsn()")
        try await eventually("the target at the source's position", timeout: .seconds(60)) {
            try pair.target.psql(
                "SELECT position >= '\(last)'::pg_lsn FROM walrelay.checkpoint"
            ) == "t"
        }
        try applier.end()
        for table in ["hot", "wide", "log"] { #expect(try pair.rowsAreEqual(table)) }
    }

    @Test func `more changes than may be kept end in advice`() throws {
        let table = ComparedTable.sample()
        var fold = ChangeFold([table], limits: ChangeFold.Limits(changes: 10, bytes: 1 << 20))
        var batch = ChangeBatch()
        for number in 0..<10 { batch.insert([number], into: table) }
        try fold.take(batch)
        batch.insert([10], into: table)
        var second = ChangeFold([table], limits: ChangeFold.Limits(changes: 10, bytes: 1 << 20))
        let error = #expect(throws: WalrelayError.self) { try second.take(batch) }
        #expect(error?.code == "verify.too_many_changes")
        #expect(error?.isTransient == true)
        var third = ChangeFold([table], limits: ChangeFold.Limits(changes: 100, bytes: 1_000))
        #expect(throws: WalrelayError.self) { try third.take(batch) }
    }
}
