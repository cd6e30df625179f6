// SPDX-License-Identifier: Apache-2.0

import CLibPQ

/// The rows of a statement.
///
/// Owns the memory; values are copied out as they are asked for.
public struct QueryResult: ~Copyable {
    let handle: OpaquePointer

    init(owning handle: OpaquePointer) {
        self.handle = handle
    }

    deinit { PQclear(handle) }

    /// Whether this is no result but the beginning of a COPY to or from us.
    public var beginsCopy: Bool {
        [PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH].contains(PQresultStatus(handle))
    }

    /// The number of rows.
    public var count: Int { Int(PQntuples(handle)) }

    /// The number of columns.
    public var columnCount: Int { Int(PQnfields(handle)) }

    /// How many rows the statement inserted, updated, deleted, copied or returned.
    public var affectedRows: Int {
        Int(String(cString: PQcmdTuples(handle))) ?? 0
    }

    /// A value as text; `nil` for NULL and for a place outside the result.
    public func value(_ row: Int, _ column: Int) -> String? {
        guard row >= 0, row < count, column >= 0, column < columnCount,
            PQgetisnull(handle, Int32(row), Int32(column)) == 0,
            let bytes = PQgetvalue(handle, Int32(row), Int32(column))
        else { return nil }
        return String(cString: bytes)
    }

    /// A value as text; empty for NULL.
    public func text(_ row: Int, _ column: Int) -> String {
        value(row, column) ?? ""
    }

    /// A boolean value; false for NULL.
    public func flag(_ row: Int, _ column: Int) -> Bool {
        value(row, column) == "t"
    }

    /// A whole number; `nil` for NULL and for what is none.
    public func integer(_ row: Int, _ column: Int) -> Int64? {
        value(row, column).flatMap { Int64($0) }
    }
}
