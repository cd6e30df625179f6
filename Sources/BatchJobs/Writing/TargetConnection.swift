// SPDX-License-Identifier: Apache-2.0
//
// Connections to a job's target, set up alike.

import ChangeModel
import LibPQ

/// Makes connections to the target.
enum TargetConnection {
    /// Connects and sets the session up; blocks.
    ///
    /// Throws `WalrelayError`.
    static func open(
        _ server: ConnectionParameters,
        stop: StopSignal
    ) throws(WalrelayError) -> Connection {
        // The job's SQL means here what it means to the role elsewhere; and how long others' locks
        // are waited for is a policy of the database, if it has one.
        var server = server
        server.unpinned = ["search_path", "TimeZone", "lock_timeout"]
        do throws(PostgresError) {
            return try Connection.open(server.for(.writer), stop: stop)
        } catch {
            throw WriterFault.error(error, while: "connecting to the target \(server.destination)")
        }
    }
}
