// SPDX-License-Identifier: Apache-2.0

import CLibPQ

/// A column of what a statement returns.
public struct ResultColumn: Sendable, Equatable {
    /// Its name; `?column?` where the server found none.
    public var name: String
    /// The OID of its type.
    public var typeOID: UInt32
    /// The type's modifier; -1 for none.
    public var typeModifier: Int32
}

extension Connection {
    /// Has the server look at one statement without running it, and returns its columns.
    ///
    /// Within a transaction the tables that it names are locked as running it would lock them, but
    /// for partitions. Blocks for two round trips and for those locks.
    public func describe(
        _ statement: String,
        within limit: Duration = .seconds(60)
    ) throws(PostgresError) -> [ResultColumn] {
        try prepare("", statement, within: limit)
        guard PQsendDescribePrepared(handle, "") == 1 else { throw lostError() }
        let result = try lastResult(until: .now + limit)
        return (0..<PQnfields(result.handle)).map { column in
            ResultColumn(
                name: PQfname(result.handle, column).map { String(cString: $0) } ?? "",
                typeOID: PQftype(result.handle, column),
                typeModifier: PQfmod(result.handle, column)
            )
        }
    }
}
