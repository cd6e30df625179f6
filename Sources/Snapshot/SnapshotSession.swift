// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ

/// A connection within a read-only transaction that sees an exported snapshot.
///
/// The transaction ends with the value: closing the connection is all the clean-up there is.
struct SnapshotSession: ~Copyable {
    let connection: Connection

    /// Connects and imports the snapshot; blocks.
    ///
    /// The transaction that exported the snapshot must be open until this returns; the snapshot
    /// lives on with any transaction that imported it.
    init(
        _ parameters: ConnectionParameters,
        importing snapshot: String,
        stop: StopSignal
    ) throws(WalrelayError) {
        let connection: Connection
        do throws(PostgresError) {
            connection = try Connection.open(parameters.for(.snapshot), stop: stop)
        } catch {
            throw SnapshotFault.error(error, while: .connecting(parameters))
        }
        let step = SnapshotStep.importing(snapshot)
        do throws(PostgresError) {
            try connection.beginReading(snapshot: snapshot)
        } catch {
            throw SnapshotFault.error(error, while: step)
        }
        // A policy would silently hide rows: with this it is an error. The workers are all the
        // parallelism there is, and compiling a query that runs once never pays.
        try connection.query(
            "SET LOCAL row_security = off; SET LOCAL max_parallel_workers_per_gather = 0"
                + (connection.serverVersion >= 110_000 ? "; SET LOCAL jit = off" : ""),
            while: step
        )
        self.connection = connection
    }
}
