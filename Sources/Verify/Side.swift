// SPDX-License-Identifier: Apache-2.0
//
// The two servers, and a transaction on one of them that sees a snapshot. A session belongs to
// the thread that made it and ends with its last reference.

import ChangeModel
import Glibc
import LibPQ
import PostgresSink

/// One of the two servers that are compared.
enum Side: Int, Sendable, CaseIterable {
    case source
    case target

    /// The error for what libpq or a server said.
    func error(_ error: PostgresError, while action: String) -> WalrelayError {
        self == .source
            ? WalrelayError(error, while: action) : TargetErrors.error(error, while: action)
    }
}

/// A connection to one side.
final class Session {
    let side: Side
    let connection: Connection
    private let stop: StopSignal

    /// How long a statement that reads a whole table may take.
    static let scanLimit = Duration.seconds(24 * 3_600)

    /// Connects; no transaction is begun.
    init(_ side: Side, _ parameters: ConnectionParameters, stop: StopSignal) throws(WalrelayError) {
        self.side = side
        self.stop = stop
        do throws(PostgresError) {
            connection = try Connection.open(parameters.for(.verify), stop: stop)
        } catch {
            throw side.error(
                error,
                while: "connecting to the \(side) \(parameters.destination)"
            )
        }
    }

    /// Connects and begins a read-only transaction; with a name it sees that exported snapshot.
    convenience init(
        _ side: Side,
        _ parameters: ConnectionParameters,
        importing snapshot: String?,
        stop: StopSignal
    ) throws(WalrelayError) {
        try self.init(side, parameters, stop: stop)
        let action = "beginning to read the \(side)"
        try query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", while: action)
        if let snapshot {
            try query("SET TRANSACTION SNAPSHOT \(SQL.literal(snapshot))", while: action)
        }
        try settle()
    }

    /// Settings of the transaction for statements that read much.
    ///
    /// A policy would silently hide rows: with this it is an error. The workers are all the
    /// parallelism there is, and compiling a query that runs once never pays.
    func settle() throws(WalrelayError) {
        try query(
            "SET LOCAL row_security = off; SET LOCAL max_parallel_workers_per_gather = 0"
                + (connection.serverVersion >= 110_000 ? "; SET LOCAL jit = off" : ""),
            while: "preparing the transaction"
        )
    }

    /// Has the planner look rows up by their key, however few it takes a table to have.
    func preferLookups() throws(WalrelayError) {
        try query(
            "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; "
                + "SET LOCAL enable_seqscan = off",
            while: "preparing the transaction"
        )
    }

    /// Sets how many digits floats have in this transaction's texts.
    func setDigits(_ digits: Int) throws(WalrelayError) {
        try query("SET LOCAL extra_float_digits = \(digits)", while: "preparing the transaction")
    }

    /// Runs a statement; what the server refuses is thrown as the operator is told it.
    @discardableResult
    func query(
        _ statement: String,
        while action: String,
        within limit: Duration = .seconds(600)
    ) throws(WalrelayError) -> QueryResult {
        do throws(PostgresError) {
            return try connection.query(statement, within: limit)
        } catch {
            throw side.error(error, while: action)
        }
    }

    /// Waits until the server has sent something; cancels the statement when it is to stop.
    func waitForInput() throws(WalrelayError) {
        do throws(PostgresError) {
            var set = [
                pollfd(fd: connection.socket, events: Int16(POLLIN), revents: 0),
                pollfd(fd: stop.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&set, 2, 1_000)
            if set[1].revents != 0, stop.isRequested {
                connection.cancel()
                throw PostgresError(kind: .interrupted, message: "stopped")
            }
            if set[0].revents != 0 { try connection.consumeInput() }
        } catch {
            throw side.error(error, while: "reading rows of the \(side)")
        }
    }
}
