// SPDX-License-Identifier: Apache-2.0
//
// Prepared statements with parameters in the binary format, for what is run again and again.

import CLibPQ
import Glibc

/// Parameters of one execution; keeps its memory from one use to the next.
///
/// The bytes are the caller's and have to stay where they are until the execution.
public struct StatementParameters: ~Copyable {
    var values: [UnsafePointer<CChar>?] = []
    var lengths: [Int32] = []
    var formats: [Int32] = []

    /// No parameters.
    public init() {}

    /// How many there are.
    public var count: Int { values.count }

    /// Forgets the parameters.
    public mutating func removeAll() {
        values.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        formats.removeAll(keepingCapacity: true)
    }

    /// Adds a value in its type's binary format.
    public mutating func append(binary bytes: UnsafeRawBufferPointer) {
        values.append(bytes.baseAddress.map { $0.assumingMemoryBound(to: CChar.self) })
        lengths.append(Int32(clamping: bytes.count))
        formats.append(1)
    }

    /// Adds NULL.
    public mutating func appendNull() {
        values.append(nil)
        lengths.append(0)
        formats.append(1)
    }
}

extension Connection {
    /// Prepares a statement under a name of the session.
    ///
    /// `types` are the parameters' OIDs; 0 lets the server infer one. Blocks for a round trip.
    public func prepare(
        _ name: String,
        _ statement: String,
        types: [UInt32] = [],
        within limit: Duration = .seconds(60)
    ) throws(PostgresError) {
        let sent = PQsendPrepare(handle, name, statement, Int32(types.count), types)
        guard sent == 1 else { throw lostError() }
        _ = try lastResult(until: .now + limit)
    }

    /// Executes a prepared statement; results come as text.
    @discardableResult
    public func execute(
        _ name: String,
        _ parameters: borrowing StatementParameters,
        within limit: Duration = .seconds(600)
    ) throws(PostgresError) -> QueryResult {
        try startExecuting(name, parameters, within: limit)
        return try lastResult(until: .now + limit)
    }

    /// Sends a prepared statement without waiting for its result, which `finishExecuting` gives.
    ///
    /// Blocks until the socket has taken all of it; nothing else may be sent before the result.
    public func startExecuting(
        _ name: String,
        _ parameters: borrowing StatementParameters,
        within limit: Duration = .seconds(600)
    ) throws(PostgresError) {
        let sent = PQsendQueryPrepared(
            handle,
            name,
            Int32(parameters.count),
            parameters.values,
            parameters.lengths,
            parameters.formats,
            0
        )
        guard sent == 1 else { throw lostError() }
        try flush(until: .now + limit)
    }

    /// The result of what `startExecuting` sent, an error thrown where it ended in one; blocks.
    @discardableResult
    public func finishExecuting(
        within limit: Duration = .seconds(600)
    ) throws(PostgresError) -> QueryResult {
        try lastResult(until: .now + limit)
    }

    /// What came of a statement that nobody waits for any more, as after `cancel`.
    ///
    /// `nil` where it failed, and where the server does not say within `limit`. Heeds no request to
    /// stop. Blocks; the connection is of no use after that.
    public func lastOutcome(within limit: Duration) -> QueryResult? {
        let deadline = ContinuousClock.now + limit
        var last: OpaquePointer?
        defer { PQclear(last) }
        while true {
            while PQisBusy(handle) == 1 {
                let left = deadline - .now
                guard socket >= 0, left > .zero else { return nil }
                var set = [pollfd(fd: socket, events: Int16(POLLIN), revents: 0)]
                guard poll(&set, 1, left.pollMilliseconds) >= 0 || errno == EINTR,
                    PQconsumeInput(handle) == 1
                else { return nil }
            }
            // A transaction's own failure may follow what its statement said.
            guard let result = PQgetResult(handle) else { break }
            PQclear(last)
            last = result
            guard [PGRES_COMMAND_OK, PGRES_TUPLES_OK].contains(PQresultStatus(result)) else {
                return nil
            }
        }
        return last.take().map { QueryResult(owning: $0) }
    }
}
