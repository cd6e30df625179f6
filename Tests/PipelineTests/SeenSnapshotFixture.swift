// SPDX-License-Identifier: Apache-2.0
//
// A sink that shows what it has of a snapshot, faults at a chosen hit, and what the source and
// the sink hold in the end.

import ChangeModel
import LibPQ
import Pipeline
import Support
import Synchronization
import Testing

/// Fails at the n-th hit of a point from now on.
final class Trip: Sendable {
    private let armed = Mutex<(points: Set<FaultPoint>, left: Int)>(([], 0))

    func arm(_ points: Set<FaultPoint>, hit: Int) {
        armed.withLock { $0 = (points, hit) }
    }

    func reach(_ point: FaultPoint) throws {
        let isDue = armed.withLock { armed in
            guard armed.points.contains(point), armed.left > 0 else { return false }
            armed.left -= 1
            return armed.left == 0
        }
        if isDue { throw WalrelayError.lasting }
    }
}

/// A source of two tables, one of them known by its whole rows, and a sink that is seen into.
struct SeenSnapshot {
    let cluster: PostgresCluster
    let store: MemoryStore
    let trip: Trip

    init(rows: Int = 400) async throws {
        cluster = try await PostgresCluster.withTable(rows: rows)
        try cluster.psql(
            """
            ALTER TABLE t ADD doc text; ALTER TABLE t ALTER doc SET STORAGE EXTERNAL;
            UPDATE t SET doc = repeat('d', 3000) WHERE id % 3 = 0;
            CREATE TABLE f (b int, a int, v text, PRIMARY KEY (a, b));
            ALTER TABLE f REPLICA IDENTITY FULL;
            INSERT INTO f SELECT g, g % 5, 'f' || g FROM generate_series(1, \(rows)) g;
            """
        )
        let trip = Trip()
        self.trip = trip
        store = MemoryStore(
            showsUnfinishedSnapshots: true,
            beforePoint: { try trip.reach($0) }
        )
    }

    static func both(_ options: inout TaskOptions) {
        options.tables.include = ["t", "f"].map { name in
            TableRule(pattern: TablePattern(schema: .exact("public"), name: .exact(name)))
        }
    }

    /// A run that a fault ends at the n-th hit of a point; nobody is told to finish.
    func interrupt(
        _ points: Set<FaultPoint> = [.write],
        hit: Int = 4,
        change: (inout TaskOptions) -> Void = both
    ) async throws {
        trip.arm(points, hit: hit)
        let task = TaskFixture(cluster, store) { options in
            options.until = .now
            change(&options)
        }
        #expect(try await task.failure() == .lasting)
        #expect(store.complaints.isEmpty && !store.isOpen)
    }

    /// A run up to now, after which source and sink are the same.
    func finish(change: (inout TaskOptions) -> Void = both) async throws {
        try await TaskFixture.runUntilNow(cluster, store, change: change)
        #expect(store.checkpoint?.snapshot == .complete)
        try expectEqual()
    }

    func expectEqual(_ tables: [String] = ["t", "f"]) throws {
        for table in tables {
            let held = store.applied(table)
            let source = try source(table)
            #expect(held.count == source.count)
            let differing = Set(held).symmetricDifference(source).sorted().prefix(6)
            #expect(differing.isEmpty, "\(table)")
        }
    }

    /// The rows of a table as `MemoryStore.applied` writes them.
    func source(_ table: String) throws -> [String] {
        try cluster.psql(
            """
            SELECT (SELECT string_agg(key || '=' || coalesce(value, '-'), ' '
                ORDER BY key COLLATE "C") FROM jsonb_each_text(to_jsonb(x))) FROM \(table) x
            """
        ).split(separator: "\n").map(String.init).sorted()
    }

    /// Changes of every kind, to rows that were copied and to rows that were not.
    func churn(_ round: Int) throws {
        try cluster.psql(
            """
            UPDATE t SET v = v || '.\(round)' WHERE id % 7 = \(round % 7);
            DELETE FROM t WHERE id % 11 = \(round % 11);
            UPDATE t SET id = id + 100000 WHERE id % 13 = \(round % 13) AND id < 100000;
            BEGIN; DELETE FROM t WHERE id % 17 = \(round % 17);
            INSERT INTO t SELECT g, 'new\(round)', repeat('n', 2500)
            FROM generate_series(\(200_000 + round * 100), \(200_040 + round * 100)) g; COMMIT;
            INSERT INTO t VALUES (\(300_000 + round), 'gone'); DELETE FROM t WHERE v = 'gone';
            UPDATE f SET v = v || '.\(round)' WHERE b % 7 = \(round % 7);
            UPDATE f SET a = a + 10 WHERE b % 5 = \(round % 5);
            DELETE FROM f WHERE b % 19 = \(round % 19);
            """
        )
    }
}
