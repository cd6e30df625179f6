// SPDX-License-Identifier: Apache-2.0
//
// What the server says when it does not stream or ends a stream, as the operator is told it: the
// server's own words know nothing of tasks.

import ChangeModel
import LibPQ

enum StreamFault {
    /// The error of messages that do not follow each other as they must.
    static func malformed(_ what: String, at lsn: LSN) -> WalrelayError {
        WalrelayError(
            "stream.malformed",
            exit: .internalError,
            "The stream of the server makes no sense at \(lsn): \(what)"
        )
    }

    /// The error of a stream that did not start, or was ended by the server at `position`.
    static func error(
        _ error: PostgresError,
        options: StreamOptions,
        at position: LSN
    ) -> WalrelayError {
        let (slot, publication) = (options.slot, options.publication)
        switch error.sqlState {
        case "55006":
            return WalrelayError(
                "slot.in_use",
                exit: .unreachable,
                "The slot \(slot) is held by another session: \(error.message)",
                hint: "stop the other walrelay of this task, or give this task another name; "
                    + "SELECT * FROM pg_stat_replication; shows where it runs",
                isTransient: true
            )
        case "42704" where error.message.contains(publication):
            return WalrelayError(
                "publication.missing",
                exit: .checkpointMismatch,
                "The changes after \(position) cannot be decoded, because the publication "
                    + "\(publication) was dropped there: \(error.message)",
                hint: Slot.afresh
            )
        default:
            return WalrelayError(error, while: "streaming the slot \(slot) at \(position)")
        }
    }
}
