// SPDX-License-Identifier: Apache-2.0
//
// What the log says of a task's way: a line for each phase that it enters, from where, and after
// what trouble; and of errors, always with their code and with what to try.

import ChangeModel
import Logging

extension TaskRunner {
    /// Enters a phase and says so, once.
    ///
    /// `detail` follows the phase's name; `lsn` is where in the WAL that is.
    func enter(_ phase: TaskStatus.Phase, _ detail: String = "", lsn: LSN? = nil) {
        guard let (former, mended) = board.enter(phase) else { return }
        // A start that the server is away for checks again with each attempt.
        let isNews = former != phase && !(former == .reconnecting && phase == .checking)
        guard isNews || mended != nil || phase == .checking && former == .checking else { return }
        var figures: Logger.Metadata = ["was": "\(former.rawValue)"]
        var message = phase.rawValue
        if let lsn {
            figures["lsn"] = "\(lsn)"
            message += phase == .stopping ? " at \(lsn)" : " from \(lsn) on"
        }
        if !detail.isEmpty { message += ": \(detail)" }
        if let (trouble, after) = mended {
            figures["mended"] = "\(trouble.code)"
            figures["failures"] = .stringConvertible(trouble.failures)
            figures["afterMilliseconds"] = .stringConvertible(Int(after.milliseconds))
            message += ", after \(Prose.count(trouble.failures, "failure"))"
            message += " in \(Prose.time(milliseconds: after.milliseconds)), \(trouble.code)"
        }
        log.info(
            "\(message)",
            metadata: ["phase": "\(phase.rawValue)", "figures": .dictionary(figures)]
        )
    }

    /// What the log has beside the message of an error.
    static func metadata(_ error: WalrelayError) -> Logger.Metadata {
        var metadata: Logger.Metadata = ["code": "\(error.code)"]
        if !error.hint.isEmpty { metadata["try"] = "\(error.hint)" }
        return metadata
    }
}
