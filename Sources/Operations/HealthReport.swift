// SPDX-License-Identifier: Apache-2.0
//
// Whether the task is alive and moving, and whether it is ready: the two questions of /healthz and
// /readyz, answered from the board alone.

public import Pipeline

/// The answers to "is it alive" and "is it ready".
public struct HealthReport: Sendable, Equatable {
    /// Silence after which a part counts as stuck.
    ///
    /// Longer than any wait that a part makes without beating: libpq's connection attempts, the
    /// server's own wal_sender_timeout answers and an fsync on a busy disk stay well below it.
    public static let stallLimit: Duration = .seconds(30)

    /// Why the task is not alive and moving; nil when it is.
    public var sickness: String?
    /// What the operator should know although the task is alive and moving, else nil.
    ///
    /// It makes nobody restart a daemon: that would not make the source's WAL less.
    public var warning: String?
    /// Why the task is not ready; nil when it is.
    public var unreadiness: String?

    /// Looks at the board as it is now.
    public init(board: StatusBoard, stallLimit: Duration = HealthReport.stallLimit) {
        let status = board.status
        let stalled = Self.stalls(on: board, after: stallLimit)
        if status.phase == .failed {
            let reason = status.lastError.map { "\($0.message) [\($0.code)]" }
            sickness = "failed: \(reason ?? "no reason was recorded")"
        } else {
            sickness = stalled
        }
        let warnings = status.warnings.map(\.text)
        warning = warnings.isEmpty ? nil : warnings.joined(separator: "; ")
        unreadiness =
            switch status.phase {
            case .streaming: nil
            case .standby: "standby: \(status.standby?.text ?? "another walrelay runs the task")"
            default: "not ready: \(status.phase.rawValue)"
            }
    }

    /// One line naming each stuck part and for how long it has been silent; nil when none is.
    static func stalls(on board: StatusBoard, after limit: Duration) -> String? {
        let parts = board.stalledParts(after: limit).map { part in
            let seconds = board.silence(of: part)?.components.seconds ?? 0
            return "\(part.rawValue) has not moved for \(seconds) s"
        }
        return parts.isEmpty ? nil : "stuck: " + parts.joined(separator: ", ")
    }
}
