// SPDX-License-Identifier: Apache-2.0
//
// Slots that outlive their primary, and the past of a timeline: statements and judgements.

import ChangeModel
import LibPQ
import Testing

@testable import Replication

@Suite struct SlotFailoverTests {
    @Test func `the statements`() {
        #expect(
            SlotSnapshot.creation(of: "di_slot_a", isTemporary: false, failover: false)
                == "CREATE_REPLICATION_SLOT \"di_slot_a\" LOGICAL pgoutput USE_SNAPSHOT"
        )
        #expect(
            SlotSnapshot.creation(of: "di_slot_a", isTemporary: false, failover: true)
                == "CREATE_REPLICATION_SLOT \"di_slot_a\" LOGICAL pgoutput "
                + "(SNAPSHOT 'use', FAILOVER true)"
        )
        #expect(
            SlotSnapshot.creation(of: "di_tmp_7", isTemporary: true, failover: true)
                == "CREATE_REPLICATION_SLOT \"di_tmp_7\" TEMPORARY LOGICAL pgoutput USE_SNAPSHOT",
            "a temporary slot goes with its session"
        )
        #expect(
            SlotFailover.alteration(of: "di_slot_a")
                == "ALTER_REPLICATION_SLOT \"di_slot_a\" (FAILOVER true)"
        )
    }

    private func findings(
        _ slots: [String: Bool],
        waitedFor: [String] = [],
        version: Int = 170_006
    ) -> [String] {
        FailoverFacts(physicalSlots: slots, waitedFor: waitedFor)
            .findings(version: version, provider: .plain)
            .map { "\($0.level) \($0.id): \($0.found) | \($0.mend)" }
    }

    @Test func `before 17 it cannot be`() {
        let found = findings(["a": true], version: 160_004)
        #expect(found.count == 1)
        #expect(found[0].hasPrefix("failed slot.failover: PostgreSQL 16.4 copies no slot"))
    }

    @Test func `without a standby nobody copies it`() {
        #expect(findings([:])[0].hasPrefix("warning slot.failover_alone"))
        #expect(findings(["gone": false])[0].hasPrefix("warning slot.failover_alone"))
    }

    @Test func `a standby that is not waited for may lack what the sink has`() {
        let found = findings(["a": true, "b": true], waitedFor: ["a"])
        #expect(found.count == 2)
        #expect(found[0].hasPrefix("ok slot.failover: a, b can copy it"))
        #expect(found[1].hasPrefix("warning slot.failover_race: b is not waited for"))
        #expect(
            found[1].hasSuffix(
                "ALTER SYSTEM SET synchronized_standby_slots = 'a,b'; SELECT pg_reload_conf();"
            )
        )
    }

    @Test func `one that is waited for and away holds the task up`() {
        let found = findings(["a": true, "b": false], waitedFor: ["a", "b"])
        #expect(found.count == 2)
        #expect(found[1].hasPrefix("warning slot.failover_away: b streams not"))
        #expect(findings(["a": true], waitedFor: ["a"]).count == 1)
    }

    @Test func `a history file says up to where each former timeline counts`() {
        let history = TimelineHistory(
            parsing: "1\t0/3000148\tno recovery target specified\n\n"
                + "2\t1/5000000\tbefore 2026-01-05 12:00:00\n# not one\nx\t0/1\n"
        )
        #expect(history.end(of: 1) == LSN("0/3000148"))
        #expect(history.end(of: 2) == LSN("1/5000000"))
        #expect(history.end(of: 3) == nil)
        #expect(TimelineHistory(parsing: "").end(of: 1) == nil)
    }
}
