// SPDX-License-Identifier: Apache-2.0
//
// Which statements are prepared in the session. A bound keeps thousands of tables from filling the
// server's memory: the statement that was not used for the longest time goes.

import ChangeModel
import LibPQ

/// The prepared statements of a session on the target.
struct StatementCache {
    private struct Key: Hashable {
        var version: UInt64
        var kind: StatementKind
    }

    /// A statement that is prepared.
    struct Prepared {
        /// Its name in the session.
        var name: String
        /// See `TableStatement.columns`.
        var columns: [Int]
        fileprivate var lastUse: UInt64
    }

    private let limit: Int
    private var statements: [Key: Prepared] = [:]
    private var uses: UInt64 = 0

    /// No statement yet; at most `limit` of them later.
    init(limit: Int = 256) {
        self.limit = max(1, limit)
    }

    /// How many statements are prepared.
    var count: Int { statements.count }

    /// Forgets all: the session is gone.
    mutating func removeAll() {
        statements.removeAll()
    }

    /// The statement of that kind for a table, prepared now where it is not yet.
    ///
    /// Blocks for a round trip then.
    mutating func statement(
        _ kind: StatementKind,
        for table: TargetTable,
        on connection: borrowing Connection
    ) throws(PostgresError) -> Prepared {
        uses += 1
        let key = Key(version: table.relation.version, kind: kind)
        if var known = statements[key] {
            known.lastUse = uses
            statements[key] = known
            return known
        }
        if statements.count >= limit, let oldest = statements.min(by: isOlder) {
            try connection.query("DEALLOCATE \(oldest.value.name)")
            statements[oldest.key] = nil
        }
        let statement = TableStatement(kind, table)
        let types = [UInt32](repeating: TextArrayForm.typeOID, count: statement.parameterCount)
        let made = Prepared(
            name: "walrelay_\(uses)",
            columns: statement.columns,
            lastUse: uses
        )
        try connection.prepare(made.name, statement.text, types: types, within: .seconds(600))
        statements[key] = made
        return made
    }

    private func isOlder(
        _ one: Dictionary<Key, Prepared>.Element,
        _ other: Dictionary<Key, Prepared>.Element
    ) -> Bool {
        one.value.lastUse < other.value.lastUse
    }
}
