// SPDX-License-Identifier: Apache-2.0
//
// A small table and a load of it, for tests of what becomes of a task rather than of its rows.

import Support

enum NumberedTable {
    static let keys = ["public.t": ["id"]]

    static func source() async throws -> PostgresCluster {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, n int);
            INSERT INTO t SELECT i, 0 FROM generate_series(1, 100) i;
            """
        )
        return cluster
    }

    /// A hundred new rows from `first` on, and a change of every seventh.
    static func change(_ cluster: PostgresCluster, _ first: Int) throws {
        try cluster.psql(
            """
            INSERT INTO t SELECT i, 1 FROM generate_series(\(first), \(first) + 99) i;
            UPDATE t SET n = n + 1 WHERE id % 7 = 0
            """
        )
    }
}
