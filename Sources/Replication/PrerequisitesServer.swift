// SPDX-License-Identifier: Apache-2.0
//
// The server's part of the check: is it a primary that decodes, is there room for one more
// walsender and slot, and do its limits suit a consumer that may be away for a while.

import ChangeModel
import LibPQ

/// The server settings that the check looks at.
struct ServerSettings: Sendable {
    private var values: [String: String] = [:]
    /// Walsenders that run now, without this connection.
    let walSenders: Int
    /// Slots of all kinds that exist now.
    let slots: Int
    /// `server_encoding`.
    let encoding: String

    init(on connection: borrowing Connection) throws(PostgresError) {
        let names = [
            "wal_level", "max_wal_senders", "max_replication_slots", "wal_sender_timeout",
            "max_slot_wal_keep_size", "idle_replication_slot_timeout",
        ]
        let rows = try connection.query(
            "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN "
                + "(\(SQL.literals(names)))"
        )
        for row in 0..<rows.count { values[rows.text(row, 0)] = rows.text(row, 1) }
        let counts = try connection.query(
            """
            SELECT (SELECT count(*) FROM pg_catalog.pg_stat_replication \
            WHERE pid <> pg_catalog.pg_backend_pid()), \
            (SELECT count(*) FROM pg_catalog.pg_replication_slots), \
            (SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database \
            WHERE datname = pg_catalog.current_database())
            """
        )
        walSenders = Int(counts.integer(0, 0) ?? 0)
        slots = Int(counts.integer(0, 1) ?? 0)
        encoding = counts.text(0, 2)
    }

    func text(_ name: String) -> String { values[name] ?? "" }

    /// A setting in its base unit; `nil` where the server does not know it.
    func number(_ name: String) -> Int? { values[name].flatMap { Int($0) } }
}

extension CheckedSource {
    func serverFindings() -> [Finding] {
        [standby, walLevel, walSenders, replicationSlots, walSenderTimeout].compactMap { $0 }
            + retentionFindings() + [encoding]
    }

    private var standby: Finding {
        facts.isStandby
            ? Finding(
                "server.standby",
                .failed,
                subject: "recovery",
                found: "the server is a standby, which takes no publication",
                mend: "set source.host to the primary, or to all hosts, separated by commas"
            ) : Finding("server.standby", .ok, subject: "recovery", found: "primary")
    }

    private var walLevel: Finding {
        let level = settings.text("wal_level")
        return level == "logical"
            ? Finding("server.wal_level", .ok, subject: "wal_level", found: level)
            : Finding(
                "server.wal_level",
                .failed,
                subject: "wal_level",
                found: "\(level), but decoding needs logical",
                mend: provider.change("wal_level", to: "logical", needsRestart: true)
            )
    }

    /// A snapshot that is taken beside an existing slot makes a temporary one of its own.
    private var extraForSnapshot: Int { slot != nil && requirements.needsSnapshot ? 1 : 0 }

    private var walSenders: Finding {
        // An active slot has its walsender already.
        let needed = (slot?.isActive == true ? 0 : 1) + extraForSnapshot
        return room(
            "max_wal_senders",
            used: settings.walSenders,
            needed: needed,
            what: "walsender"
        )
    }

    private var replicationSlots: Finding {
        room(
            "max_replication_slots",
            used: settings.slots,
            needed: (slot == nil ? 1 : 0) + extraForSnapshot,
            what: "slot"
        )
    }

    private func room(_ name: String, used: Int, needed: Int, what: String) -> Finding {
        let limit = settings.number(name) ?? 0
        let found = "\(used) of \(Prose.count(limit, what)) in use"
        guard limit - used < needed else {
            return Finding("server.\(name)", .ok, subject: name, found: found)
        }
        let enough = max(10, used + needed + 2)
        return Finding(
            "server.\(name)",
            .failed,
            subject: name,
            found: "\(found), \(needed) more needed",
            mend: provider.change(name, to: "\(enough)", needsRestart: true)
        )
    }

    private var walSenderTimeout: Finding {
        let name = "wal_sender_timeout"
        let milliseconds = settings.number(name) ?? 0
        if milliseconds >= 1_000 {
            return Finding("server.\(name)", .ok, subject: name, found: "\(milliseconds) ms")
        }
        let found =
            milliseconds == 0
            ? "0: the server never notices a connection that died silently, and keeps the slot "
                + "active" : "\(milliseconds) ms: short pauses end the stream"
        return Finding(
            "server.\(name)",
            .warning,
            subject: name,
            found: found,
            mend: provider.change(name, to: "60000", spoken: "60s", needsRestart: false)
        )
    }

    private var encoding: Finding {
        settings.encoding == "SQL_ASCII"
            ? Finding(
                "server.encoding",
                .failed,
                subject: "server_encoding",
                found: "SQL_ASCII: the server does not know what its bytes mean, so it cannot "
                    + "give them as UTF-8",
                mend: "move the data into a database created with ENCODING 'UTF8' (pg_dump and "
                    + "pg_restore)"
            )
            : Finding(
                "server.encoding",
                .ok,
                subject: "server_encoding",
                found: settings.encoding
            )
    }
}
