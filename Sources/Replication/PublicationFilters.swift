// SPDX-License-Identifier: Apache-2.0
//
// Row filters as a publication has them are the server's words, as the settings have them somebody
// else's: `id % 2 = 0` comes back as `((id % (2)::bigint) = 0)`. Whoever may not alter the
// publication needs to know whether they mean the same, and only the server does: it plans a query
// with either, and the plans are the same where the filters are.

import ChangeModel
import LibPQ

extension PublicationState {
    /// The same with the filters in the settings' words wherever they mean what those mean.
    ///
    /// Blocks; not within a transaction.
    func spelled(
        as tables: [SourceTable],
        on connection: borrowing Connection
    ) throws(PostgresError) -> PublicationState {
        var copy = self
        for table in tables {
            let oid = table.relation.oid
            guard let wanted = table.filter, let there = members[oid]?.filter,
                !Self.isSameFilter(there, wanted),
                let plan = try Self.plan(wanted, of: table.relation, on: connection),
                try plan == Self.plan(there, of: table.relation, on: connection)
            else { continue }
            copy.members[oid]?.filter = wanted
        }
        return copy
    }

    /// How the server would filter; `nil` where it would not.
    private static func plan(
        _ filter: String,
        of relation: Relation,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [String]? {
        let table = SQL.identifier(relation.schema, relation.name)
        do {
            let rows = try connection.query(
                // The line break ends a comment that the filter may end in.
                "EXPLAIN (COSTS off) SELECT FROM ONLY \(table) WHERE (\(filter)\n)"
            )
            return (0..<rows.count).map { rows.text($0, 0) }
        } catch {
            guard error.kind == .server, !error.isTransient else { throw error }
            return nil
        }
    }
}
