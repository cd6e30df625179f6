// SPDX-License-Identifier: Apache-2.0
//
// COPY … FROM STDIN. libpq takes whatever it is given into memory of its own, so the flow is
// bounded here: nothing more is put while too much waits for the socket.

import CLibPQ
import Glibc

extension Connection {
    /// Starts a COPY … FROM STDIN; the statement must be one.
    ///
    /// Blocks until the server is ready for rows.
    public func beginCopyIn(
        _ statement: String,
        within limit: Duration = .seconds(60)
    ) throws(PostgresError) {
        let result = try query(statement, within: limit)
        guard PQresultStatus(result.handle) == PGRES_COPY_IN else {
            throw PostgresError(kind: .server, message: "the statement is no COPY FROM STDIN")
        }
    }

    /// Hands bytes of the COPY to the socket; blocks until it has taken all of them.
    ///
    /// Rows may be cut anywhere. Throws `PostgresError` of kind `timeout` where the server takes
    /// nothing for as long as `idleLimit`. A row that the server refuses is told by `endCopyIn`.
    public func copyIn(
        _ bytes: UnsafeRawBufferPointer,
        idleLimit: Duration = .seconds(600)
    ) throws(PostgresError) {
        guard !bytes.isEmpty else { return }
        let sent = PQputCopyData(
            handle,
            bytes.baseAddress?.assumingMemoryBound(to: CChar.self),
            Int32(clamping: bytes.count)
        )
        guard sent == 1 else {
            // The server has refused a row already and ended the COPY: its own words say why.
            if let failure = try pendingError() { throw failure }
            throw lostError()
        }
        try flush(until: .now + idleLimit)
    }

    /// Ends the COPY and returns how many rows the server took; throws its error otherwise.
    @discardableResult
    public func endCopyIn(within limit: Duration = .seconds(600)) throws(PostgresError) -> Int {
        try startEndingCopyIn(within: limit)
        return try finishCopy(within: limit).affectedRows
    }

    /// Ends our side of the COPY without waiting for the server's, which `finishCopy` does.
    public func startEndingCopyIn(within limit: Duration = .seconds(600)) throws(PostgresError) {
        guard PQputCopyEnd(handle, nil) == 1 else {
            if let failure = try pendingError() { throw failure }
            throw lostError()
        }
        try flush(until: .now + limit)
    }

    /// Gives the COPY up, with a reason that the server puts into its log; its rows are gone.
    public func abandonCopyIn(_ reason: String, within limit: Duration = .seconds(60)) {
        guard PQputCopyEnd(handle, reason) == 1 else { return }
        _ = try? lastResult(until: .now + limit)
    }

    private func pendingError() throws(PostgresError) -> PostgresError? {
        guard PQconsumeInput(handle) == 1 else { return nil }
        var failure: PostgresError?
        // To the last, or the connection would take no further statement.
        while let result = PQgetResult(handle) {
            let status = PQresultStatus(result)
            if status == PGRES_FATAL_ERROR { failure = failure ?? error(of: result) }
            PQclear(result)
            // A COPY that still runs has no last result.
            if status == PGRES_COPY_IN { break }
        }
        return failure
    }
}
