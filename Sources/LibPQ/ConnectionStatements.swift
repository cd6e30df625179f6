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
        return try lastResult(until: .now + limit)
    }
}
