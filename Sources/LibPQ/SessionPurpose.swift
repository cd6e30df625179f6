// SPDX-License-Identifier: Apache-2.0
//
// What walrelay's sessions are for: an operator tells them apart in pg_stat_activity, and each has
// the time limits that its work allows, so that one whose process is stuck or whose host is gone
// holds no lock and no old snapshot on somebody's production. docs/operations.md has the table.

/// What a session is for.
public enum SessionPurpose: String, Sendable, CaseIterable {
    /// `walrelay check`.
    case check
    /// A task's questions, and its publication.
    case control
    /// A running task's look at its slot and its tables, every few seconds.
    case monitor
    /// What a sink or the stream asks of the source's catalog now and then.
    case catalog
    /// Holds the task's lock for as long as it runs, or waits for it.
    case lock
    /// Makes a slot and lends its snapshot.
    case slot
    /// The walsender.
    case stream
    /// Reads tables under the snapshot.
    case snapshot
    /// The sink's transactions on the target.
    case sink
    /// Brings rows of the snapshot to the target.
    case copy
    /// `walrelay verify`, on either side.
    case verify
    /// `walrelay slots`.
    case slots
    /// `walrelay teardown`.
    case teardown
    /// Reads for a batch job.
    case reader
    /// Writes for a batch job.
    case writer

    /// The session's time limits in milliseconds, by the server's names; none is 0.
    var limits: [String: Int] {
        switch self {
        case .check, .control, .monitor, .catalog, .lock, .slots, .teardown:
            [
                // We cancel a question after 60 s ourselves; this is for when we are gone.
                "statement_timeout": 90_000,
                // Longer than a catalog is ever locked. For a publication: VACUUM and DDL of the
                // table queue behind us so long, and no reader or writer does.
                "lock_timeout": 5_000,
                "idle_in_transaction_session_timeout": 60_000,
            ]
        // A snapshot that nobody reads any more ends. The other side of a copy may be silent for an
        // hour before we give it up ourselves.
        case .slot, .snapshot, .sink, .copy: ["idle_in_transaction_session_timeout": 7_200_000]
        // Each side waits for the other one's scan, of a day at most.
        case .verify: ["idle_in_transaction_session_timeout": 90_000_000]
        // The first is bounded by wal_sender_timeout, the others by the job's own settings.
        case .stream, .reader, .writer: [:]
        }
    }
}

extension ConnectionParameters {
    /// The same for a session of a purpose.
    public func `for`(_ purpose: SessionPurpose) -> ConnectionParameters {
        var copy = self
        copy.purpose = purpose
        return copy
    }

    /// `walrelay/orders stream`, as far as it is known.
    var sessionName: String {
        ["walrelay", task].compactMap { $0 }.joined(separator: "/")
            + (purpose.map { " \($0.rawValue)" } ?? "")
    }
}

extension Connection {
    /// Bounds of a session that only later servers know.
    ///
    /// Limits that a role or a database has for those who forget a session would end ours: what
    /// bounds our transactions is `SessionPurpose`. A client that is gone is noticed even while
    /// the server is busy for it.
    func boundSession() throws(PostgresError) {
        var settings: [String] = []
        if serverVersion >= 120_000 { settings.append("tcp_user_timeout = 60000") }
        if serverVersion >= 140_000 { settings.append("idle_session_timeout = 0") }
        if serverVersion >= 170_000 { settings.append("transaction_timeout = 0") }
        guard !settings.isEmpty else { return }
        try query(settings.map { "SET \($0)" }.joined(separator: "; "))
        guard serverVersion >= 140_000 else { return }
        do {
            try query("SET client_connection_check_interval = '10s'")
        } catch {
            // Not every platform can look.
            guard error.kind == .server, !error.isTransient else { throw error }
        }
    }
}
