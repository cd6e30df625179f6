// SPDX-License-Identifier: Apache-2.0
//
// The connections of a reading job. A keeper locks what is read against DDL, then exports a
// snapshot, and stays; each reader imports the snapshot and takes the same locks at once:
//
//   keeper:  BEGIN → look at every table (ACCESS SHARE) → export → divide → … → close
//   reader:  import → look at every table → read slice → read slice → … → close
//
// The locks come before the snapshot, since TRUNCATE and a rewriting ALTER TABLE give a table
// another file, in which an older snapshot sees nothing.

import ChangeModel
import LibPQ

/// How the sessions of a source are made.
struct SourceSession: Sendable {
    /// How the server is reached.
    let parameters: ConnectionParameters
    /// Ends every wait.
    let stop: StopSignal
    /// How long the server may send nothing: a query may find its first row late.
    let patience: Duration
    /// How long to wait for the lock of a table.
    let lockLimit: Duration

    init(
        _ parameters: ConnectionParameters,
        stop: StopSignal,
        patience: Duration,
        lockLimit: Duration
    ) {
        // The job's SQL means here what it means to the role elsewhere.
        var parameters = parameters
        parameters.unpinned = ["search_path", "TimeZone"]
        self.parameters = parameters
        self.stop = stop
        self.patience = patience
        self.lockLimit = lockLimit
    }

    /// Connects, and begins the transaction that will export the snapshot; blocks.
    ///
    /// It sees what is committed at each statement, so that it can lock before it exports.
    func keeper() throws(WalrelayError) -> Connection {
        let connection = try connect()
        let action = "beginning to read from \(parameters.destination)"
        try connection.ask("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY", while: action)
        try prepare(connection, action)
        return connection
    }

    /// Connects, and begins a transaction that sees the snapshot; blocks.
    func reader(of snapshot: String) throws(WalrelayError) -> Connection {
        let connection = try connect()
        let action = "taking over the job's snapshot on \(parameters.destination)"
        do throws(PostgresError) {
            try connection.beginReading(snapshot: snapshot)
        } catch {
            guard ["22023", "42704", "55000"].contains(error.sqlState) else {
                throw ReaderFault.error(error, while: action)
            }
            throw WalrelayError(
                "job.snapshot_lost",
                exit: .unreachable,
                "\(action): \(error)",
                hint: "the connection that holds the snapshot was lost, or this one went to "
                    + "another server: name one server in the datasource, and start again",
                isTransient: true
            )
        }
        try prepare(connection, action)
        return connection
    }

    private func connect() throws(WalrelayError) -> Connection {
        do throws(PostgresError) {
            return try Connection.open(parameters.for(.reader), stop: stop)
        } catch {
            throw ReaderFault.error(
                error,
                while: "connecting to the reader's \(parameters.destination)"
            )
        }
    }

    private func prepare(
        _ connection: borrowing Connection,
        _ action: String
    ) throws(WalrelayError) {
        let (seconds, attoseconds) = lockLimit.components
        let milliseconds = seconds * 1_000 + attoseconds / 1_000_000_000_000_000
        // A cursor is read to its end.
        var statements = [
            "SET LOCAL lock_timeout = \(max(1, milliseconds))",
            "SET LOCAL cursor_tuple_fraction = 1",
        ]
        if connection.holdsAnyBytes {
            // The server would refuse the whole statement for one row that is no UTF-8.
            statements.append("SET LOCAL client_encoding = 'SQL_ASCII'")
        }
        try connection.ask(statements.joined(separator: "; "), while: action)
    }
}

extension Connection {
    /// Whether the database knows no encoding, so that its texts may be any bytes.
    var holdsAnyBytes: Bool { parameterStatus("server_encoding") == "SQL_ASCII" }
}
