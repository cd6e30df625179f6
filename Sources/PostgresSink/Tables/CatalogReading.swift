// SPDX-License-Identifier: Apache-2.0
//
// Small things that all readings of a catalog need. Every connection of LibPQ has its search_path
// pinned to pg_catalog: what the server prints (types, expressions, index definitions) is
// qualified wherever it is not pg_catalog's, and means the same on the other server.

import ChangeModel
import LibPQ

extension QueryResult {
    /// An OID; 0 for NULL and for what is none.
    func oid(_ row: Int, _ column: Int) -> UInt32 {
        integer(row, column).flatMap { UInt32(exactly: $0) } ?? 0
    }
}

/// How lists stand in statements.
enum Listing {
    /// Lists for `IN (…)`, short enough for one statement each; none for no OIDs.
    static func oids(_ oids: some Sequence<UInt32>) -> [String] {
        chunks(Set(oids).sorted().map(String.init))
    }

    /// Lists of `(schema, name)` pairs for `(a, b) IN (…)`.
    static func names(_ names: some Sequence<TableName>) -> [String] {
        chunks(
            Set(names).sorted().map { "(\(SQL.literal($0.schema)), \(SQL.literal($0.name)))" }
        )
    }

    /// Quoted column names with commas.
    static func columns(_ names: some Sequence<String>) -> String {
        names.map(SQL.identifier).joined(separator: ", ")
    }

    private static func chunks(_ items: [String]) -> [String] {
        stride(from: 0, to: items.count, by: 1_000).map { start in
            items[start..<min(start + 1_000, items.count)].joined(separator: ", ")
        }
    }
}

extension Connection {
    /// Runs a statement within the caller's transaction, which goes on where it is refused.
    ///
    /// Returns the server's refusal, `nil` where there was none; throws what may mend itself.
    func attempt(_ statement: String) throws(PostgresError) -> PostgresError? {
        try query("SAVEPOINT walrelay_attempt")
        do {
            try query(statement, within: Self.statementLimit)
        } catch {
            guard error.kind == .server, !TargetErrors.isTransient(error) else { throw error }
            try query("ROLLBACK TO SAVEPOINT walrelay_attempt")
            return error
        }
        try query("RELEASE SAVEPOINT walrelay_attempt")
        return nil
    }

    /// How long a statement that makes or changes a table may take.
    ///
    /// It waits for whoever holds a lock on it, and a constraint reads the table through.
    static var statementLimit: Duration { .seconds(86_400) }
}
