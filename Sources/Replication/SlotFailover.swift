// SPDX-License-Identifier: Apache-2.0
//
// A slot that outlives its primary. From 17 on a standby server copies slots that are marked for it
// (`failover`); what else that takes is settings of both servers, of which the primary shows its
// own and whether standby servers are attached by slots.

import ChangeModel
public import LibPQ

/// The mark on a slot that has standby servers copy it.
public enum SlotFailover {
    /// The first version that knows the mark.
    static let firstVersion = 170_000

    /// Marks a slot that nobody uses; blocks.
    ///
    /// Throws `WalrelayError`.
    public static func mark(
        _ slot: String,
        parameters: ConnectionParameters,
        stop: StopSignal
    ) throws {
        do {
            let connection = try Connection.open(parameters.for(.slot).replication, stop: stop)
            try connection.query(alteration(of: slot))
        } catch {
            throw WalrelayError(error, while: "marking the slot \(slot) for failover")
        }
    }

    static func alteration(of slot: String) -> String {
        "ALTER_REPLICATION_SLOT \(SQL.identifier(slot)) (FAILOVER true)"
    }
}

/// What a primary shows of the standby servers that could copy a slot.
struct FailoverFacts: Sendable, Equatable {
    /// Physical slots, by name, and whether a standby streams from each now.
    var physicalSlots: [String: Bool] = [:]
    /// `synchronized_standby_slots`: whom decoding waits for; empty before 17.
    var waitedFor: [String] = []

    init(on connection: borrowing Connection) throws(PostgresError) {
        let slots = try connection.query(
            """
            SELECT slot_name, active FROM pg_catalog.pg_replication_slots \
            WHERE slot_type = 'physical' AND NOT temporary
            """
        )
        for row in 0..<slots.count { physicalSlots[slots.text(row, 0)] = slots.flag(row, 1) }
        let names = try connection.query(
            "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'synchronized_standby_slots'"
        )
        // No name of a slot has anything that would be quoted.
        waitedFor = names.text(0, 0).split { $0 == "," || $0.isWhitespace }.map(String.init)
    }

    /// For tests.
    init(physicalSlots: [String: Bool], waitedFor: [String]) {
        self.physicalSlots = physicalSlots
        self.waitedFor = waitedFor
    }
}

extension CheckedSource {
    func failoverFindings() -> [Finding] {
        failover.map { $0.findings(version: facts.version, provider: provider) } ?? []
    }
}

extension FailoverFacts {
    /// What keeps a standby from taking the slot over, as far as the primary shows it.
    func findings(version: Int, provider: Provider) -> [Finding] {
        let subject = "slot.failover"
        guard version >= SlotFailover.firstVersion else {
            return [
                Finding(
                    "slot.failover",
                    .failed,
                    subject: subject,
                    found: "PostgreSQL \(ServerFacts.text(ofVersion: version)) copies no slot to "
                        + "a standby; 17 is the first that does",
                    mend: "leave slot.failover out: after a failover the task begins anew"
                )
            ]
        }
        let attached = physicalSlots.filter(\.value).keys.sorted()
        guard !attached.isEmpty else {
            return [
                Finding(
                    "slot.failover_alone",
                    .warning,
                    subject: subject,
                    found: "no standby streams from this server by a physical slot, and only such "
                        + "a one copies slots",
                    mend: "SELECT pg_create_physical_replication_slot('standby1'); and on the "
                        + "standby: primary_slot_name = 'standby1', hot_standby_feedback = on, "
                        + "sync_replication_slots = on, dbname in primary_conninfo"
                )
            ]
        }
        var findings = [
            Finding(
                "slot.failover",
                .ok,
                subject: subject,
                found: "\(Prose.list(attached)) can copy it, with sync_replication_slots = on, "
                    + "hot_standby_feedback = on and dbname in primary_conninfo there"
            )
        ]
        let unheeded = attached.filter { !waitedFor.contains($0) }
        if !unheeded.isEmpty {
            findings.append(
                Finding(
                    "slot.failover_race",
                    .warning,
                    subject: "synchronized_standby_slots",
                    found: "\(Prose.list(unheeded)) \(unheeded.count == 1 ? "is" : "are") not "
                        + "waited for: the sink may get changes that a promoted standby lacks",
                    mend: provider.change(
                        "synchronized_standby_slots",
                        to: (waitedFor + unheeded).joined(separator: ","),
                        needsRestart: false
                    )
                )
            )
        }
        let away = waitedFor.filter { physicalSlots[$0] != true }
        if !away.isEmpty {
            findings.append(
                Finding(
                    "slot.failover_away",
                    .warning,
                    subject: "synchronized_standby_slots",
                    found: "\(Prose.list(away)) \(away.count == 1 ? "streams" : "stream") not, and "
                        + "decoding waits for it: the task gets no changes meanwhile",
                    mend: "start that standby, or take it out of synchronized_standby_slots"
                )
            )
        }
        return findings
    }
}
