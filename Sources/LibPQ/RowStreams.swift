// SPDX-License-Identifier: Apache-2.0
//
// Statements whose rows are too many to be held: what a COPY sends, or the rows of a query one by
// one. The bytes stay libpq's and are lent to a closure. A stream that is given up is cancelled on
// the server too, which might else work for nobody for long; the connection is of no use then.

import CLibPQ

/// The values of one row; lent for the length of a call.
public struct RowValues: ~Copyable {
    private let handle: OpaquePointer
    private let row: Int32 = 0

    fileprivate init(lending handle: OpaquePointer) {
        self.handle = handle
    }

    /// The number of columns.
    public var count: Int { Int(PQnfields(handle)) }

    /// The bytes of a value, as text in client_encoding; `nil` for NULL.
    ///
    /// `column` lies below `count`.
    public subscript(column: Int) -> UnsafeRawBufferPointer? {
        let column = Int32(column)
        guard PQgetisnull(handle, row, column) == 0 else { return nil }
        return UnsafeRawBufferPointer(
            start: PQgetvalue(handle, row, column),
            count: Int(PQgetlength(handle, row, column))
        )
    }
}

extension Connection {
    /// Runs a query and lends each row as it arrives; blocks until the last.
    ///
    /// Returns how many there were. `idleLimit` bounds the wait for each row. Throws `PostgresError`,
    /// and what the closure throws.
    public func forEachRow(
        of query: String,
        idleLimit: Duration = .seconds(600),
        _ body: (borrowing RowValues) throws -> Void
    ) throws -> Int {
        guard PQsendQuery(handle, query) == 1, PQsetSingleRowMode(handle) == 1 else {
            throw lostError()
        }
        var count = 0
        var failure: PostgresError?
        while let result = try nextResult(until: .now + idleLimit) {
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_SINGLE_TUPLE:
                count += 1
                do {
                    try body(RowValues(lending: result))
                } catch {
                    cancel()
                    throw error
                }
            case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
                failure = failure ?? error(of: result)
            default: break
            }
        }
        if let failure { throw failure }
        return count
    }

    /// Runs a COPY … TO STDOUT and lends each of its messages; blocks until it has ended.
    ///
    /// `idleLimit` bounds the wait for each message, the first included. Throws `PostgresError`, and
    /// what the closure throws.
    public func copyOut(
        of statement: String,
        idleLimit: Duration = .seconds(600),
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        // The answer may come as late as the first row.
        try query(statement, within: idleLimit)
        do {
            try copyOut(idleLimit: idleLimit, body)
        } catch {
            let fault = error as? PostgresError
            if fault?.kind != .server, fault?.kind != .connectionLost { cancel() }
            throw error
        }
    }
}
