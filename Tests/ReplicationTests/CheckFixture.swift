// SPDX-License-Identifier: Apache-2.0
//
// Running the check as a role, and looking at what it says.

import ChangeModel
import LibPQ
import Replication
import Support
import Testing

extension PostgresCluster {
    /// The findings of a task.
    func check(
        _ tables: TableSelection,
        task: String = "t",
        user: String = "postgres",
        database: String = "postgres",
        replication: Bool = false
    ) async throws -> [Finding] {
        try await withConnection(database: database, user: user, replication: replication) {
            try Prerequisites.check(Requirements(task: task, tables: tables), on: $0)
        }
    }

    /// Expects one failure with this id and mending, runs the mending, and expects it gone.
    func expectMended(
        _ id: String,
        by mend: String,
        _ tables: TableSelection,
        task: String = "t",
        user: String = "postgres",
        database: String = "postgres",
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let before = try await check(tables, task: task, user: user, database: database)
        let failure = try #require(
            before.first { $0.id == id },
            "\(before.failures)",
            sourceLocation: sourceLocation
        )
        #expect(failure.level == .failed, sourceLocation: sourceLocation)
        #expect(failure.mend == mend, sourceLocation: sourceLocation)
        try psql(failure.mend, database: database)
        let after = try await check(tables, task: task, user: user, database: database)
        #expect(!after.failedIDs.contains(id), "\(after.failures)", sourceLocation: sourceLocation)
    }
}

extension [Finding] {
    var failures: [Finding] { filter { $0.level == .failed } }

    /// The ids of what failed.
    var failedIDs: [String] { failures.map(\.id) }

    func with(id: String) -> [Finding] { filter { $0.id == id } }
}
