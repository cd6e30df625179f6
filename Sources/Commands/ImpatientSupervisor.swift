// SPDX-License-Identifier: Apache-2.0
//
// A sink that a command opens for a moment, with a person in front of it: nothing is retried, and
// what does not answer is given up soon.

import ChangeModel
import Sink

/// Nobody waits in a command that a person looks at.
struct ImpatientSupervisor: SinkSupervisor {
    func waitBeforeRetry(of error: WalrelayError, attempt: Int) throws {
        var error = error
        error.isTransient = false
        throw error
    }

    /// Leaves a sink what it gives a daemon that was asked to stop: some 15 s.
    func keepWaiting() -> Bool { false }

    /// Does what asks a sink under this supervisor.
    ///
    /// Throws `sink.silent`, exit 75, where the sink was given up.
    static func asking<Answer>(_ question: () throws -> Answer) throws -> Answer {
        do {
            return try question()
        } catch is CancellationError {
            throw WalrelayError(
                "sink.silent",
                exit: .unreachable,
                "The sink did not answer in time",
                hint: "see whether its server is reachable and what its sessions wait for, and "
                    + "run this again"
            )
        }
    }
}
