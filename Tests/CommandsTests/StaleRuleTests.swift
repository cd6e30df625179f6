// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Replication
import Testing

@testable import Commands

extension TaskHolder {
    static let sample = TaskHolder(
        pid: 12,
        applicationName: "walrelay/old lock",
        clientAddress: "10.0.0.5"
    )
}

/// One line of the decision table.
struct StaleCase: Sendable, CustomTestStringConvertible {
    var slot = "di_slot_old"
    var active = false
    var synced = false
    var isRunning = false
    /// Seconds of inactivity; nil as below 17.
    var inactive: Int64?
    /// MiB held back; nil as on a standby.
    var retained: Int64?
    var lost = false
    /// Hours.
    var olderThan: Int64?
    /// MiB.
    var moreThan: Int64?
    var version = 170_002
    var isStale: Bool
    var reason: String

    var testDescription: String { "\(slot) at \(version / 10_000): \(reason)" }

    var row: SlotRow {
        SlotRow(
            slot: slot,
            task: slot.hasPrefix("di_slot_") ? String(slot.dropFirst(8)) : nil,
            active: active,
            activePID: active ? 4711 : nil,
            retainedBytes: retained.map { $0 << 20 },
            walStatus: lost ? "lost" : "reserved",
            inactiveSeconds: inactive,
            synced: version >= 170_000 ? synced : nil,
            holder: isRunning ? .sample : nil
        )
    }

    func rule() throws(WalrelayError) -> StaleRule {
        try StaleRule(
            olderThan: olderThan.map { .seconds($0 * 3_600) },
            retainedMoreThan: moreThan.map { $0 << 20 },
            serverVersion: version
        )
    }
}

@Suite struct StaleRuleTests {
    @Test(arguments: [
        // Age alone, the default of 24 h included.
        StaleCase(
            inactive: 86_400,
            retained: 0,
            isStale: true,
            reason: "inactive for 1 d, at least 1 d"
        ),
        StaleCase(
            inactive: 86_399,
            retained: 9_000,
            isStale: false,
            reason: "inactive for 23 h 59 min, less than 1 d"
        ),
        StaleCase(
            inactive: 0,
            olderThan: 0,
            isStale: true,
            reason: "inactive for 0 s, at least 0 s"
        ),
        StaleCase(
            olderThan: 1,
            isStale: false,
            reason: "inactive, and the server does not say since when"
        ),
        StaleCase(
            inactive: 7_200,
            lost: true,
            olderThan: 1,
            isStale: true,
            reason: "inactive for 2 h, at least 1 h"
        ),
        // WAL alone: no age is asked for.
        StaleCase(
            inactive: 1,
            retained: 11,
            moreThan: 10,
            isStale: true,
            reason: "holds back 11 MiB, more than 10 MiB"
        ),
        StaleCase(
            inactive: 90_000,
            retained: 10,
            moreThan: 10,
            isStale: false,
            reason: "holds back 10 MiB, not more than 10 MiB"
        ),
        StaleCase(
            moreThan: 10,
            isStale: false,
            reason: "the server does not say how much WAL it holds back"
        ),
        StaleCase(
            lost: true,
            moreThan: 10,
            isStale: false,
            reason: "lost, so it holds no WAL back; name its task to drop it"
        ),
        // Both: past each of them.
        StaleCase(
            inactive: 7_200,
            retained: 11,
            olderThan: 1,
            moreThan: 10,
            isStale: true,
            reason: "inactive for 2 h, at least 1 h; holds back 11 MiB, more than 10 MiB"
        ),
        StaleCase(
            inactive: 60,
            retained: 11,
            olderThan: 1,
            moreThan: 10,
            isStale: false,
            reason: "inactive for 1 min, less than 1 h"
        ),
        StaleCase(
            inactive: 7_200,
            retained: 9,
            olderThan: 1,
            moreThan: 10,
            isStale: false,
            reason: "holds back 9 MiB, not more than 10 MiB"
        ),
        // Below 17 the WAL decides.
        StaleCase(
            retained: 11,
            moreThan: 10,
            version: 160_004,
            isStale: true,
            reason: "holds back 11 MiB, more than 10 MiB"
        ),
        StaleCase(
            retained: 11,
            olderThan: 0,
            moreThan: 10,
            version: 100_023,
            isStale: true,
            reason: "holds back 11 MiB, more than 10 MiB"
        ),
        // Never, whatever the bounds say.
        StaleCase(
            active: true,
            inactive: 90_000,
            retained: 99,
            moreThan: 1,
            isStale: false,
            reason: "in use by pid 4711"
        ),
        StaleCase(
            isRunning: true,
            inactive: 90_000,
            retained: 99,
            moreThan: 1,
            isStale: false,
            reason: "its task is running: walrelay/old lock from 10.0.0.5 (pid 12 of the source)"
        ),
        StaleCase(
            synced: true,
            inactive: 90_000,
            isStale: false,
            reason: "a copy of the primary's: it goes with that one"
        ),
        StaleCase(
            slot: "debezium",
            inactive: 90_000,
            retained: 99,
            isStale: false,
            reason: "not one of walrelay's, which are di_slot_*"
        ),
    ])
    func `a slot is stale past every bound that is given`(line: StaleCase) throws {
        let verdict = try line.rule().judge(line.row)
        #expect(verdict == .init(isStale: line.isStale, reason: line.reason))
    }

    @Test(arguments: [100_000, 150_018, 160_004])
    func `below 17 the WAL has to be given, and an age cannot be`(version: Int) {
        func code(_ hours: Int64?, _ mebibytes: Int64?) -> String? {
            let line = StaleCase(
                olderThan: hours,
                moreThan: mebibytes,
                version: version,
                isStale: false,
                reason: ""
            )
            do {
                _ = try line.rule()
                return nil
            } catch {
                return error.exit == .usage ? error.code : "\(error)"
            }
        }
        #expect(code(nil, nil) == "slots.bound_needed")
        #expect(code(24, nil) == "slots.bound_needed")
        #expect(code(24, 10) == "slots.age_unknown")
        #expect(code(nil, 10) == nil)
    }
}

@Suite struct SlotsDropPlanTests {
    let rows = [
        SlotRow(slot: "di_slot_a", task: "a", retainedBytes: 1 << 20, publication: "di_pub_a"),
        SlotRow(slot: "di_slot_b", task: "b", active: true, activePID: 12),
        SlotRow(slot: "di_slot_c", task: "c", database: "crm", isOfThisDatabase: false),
    ]

    private func named(_ tasks: String..., publications: Bool = false) throws -> SlotsDropPlan {
        try .named(tasks, among: rows, publications: publications, published: ["a", "alone"])
    }

    @Test func `one task in use or unknown keeps all`() {
        func refusal(_ tasks: [String]) -> WalrelayError? {
            #expect(throws: WalrelayError.self) {
                try SlotsDropPlan.named(tasks, among: rows, publications: false, published: [])
            }
        }
        #expect(refusal(["a", "b"])?.code == "slot.active")
        #expect(refusal(["a", "b"])?.exit == .prerequisite)
        #expect(refusal(["a", "x"])?.code == "slots.unknown_task")
        #expect(refusal(["a", "x"])?.exit == .usage)
        #expect(refusal(["x"])?.hint == "name a task that has one: a, b, c")
    }

    @Test func `a standby's copy is refused by name, and what is not walrelay's is kept`() throws {
        let copy = SlotRow(slot: "di_slot_s", task: "s", synced: true)
        let refusal = #expect(throws: WalrelayError.self) {
            try SlotsDropPlan.named(["s"], among: [copy], publications: false, published: [])
        }
        #expect(refusal?.code == "slot.synced" && refusal?.exit == .prerequisite)
        let rule = try StaleRule(olderThan: nil, retainedMoreThan: 1, serverVersion: 150_000)
        let foreign = SlotRow(slot: "debezium", retainedBytes: 5)
        let plan = SlotsDropPlan.stale([copy, foreign] + rows, by: rule, publications: true)
        #expect(plan.items.map(\.name) == ["di_slot_s", "debezium"] + rows.map(\.slot))
        #expect(plan.drops.map(\.name) == ["di_slot_a"])
        #expect(plan.items[1].task == nil && plan.items[1].reason.contains("not one of walrelay's"))
    }

    @Test func `the json of a plan has every key`() throws {
        let plan = try named("a", "alone", publications: true)
        let text = try SlotsReport.json(plan)
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
        let items = try #require(object as? [[String: Any]])
        #expect(Set(items[1].keys) == ["task", "slot", "drop", "reason", "publication"])
        #expect(items[0]["slot"] as? String == "di_slot_a")
        #expect(items[0]["drop"] as? Bool == true)
        #expect(items[1]["slot"] is NSNull)
        #expect(items[1]["publication"] as? String == "di_pub_alone")
    }

    @Test func `a task named twice is dropped once`() throws {
        #expect(try named("a", "a").drops.map(\.name) == ["di_slot_a"])
    }

    @Test func `publications go only when they are asked for`() throws {
        #expect(try !named("a").items[0].dropsPublication)
        let both = try named("a", publications: true)
        #expect(both.items[0].dropsPublication)
        #expect(both.question == "Drop 1 slot and 1 publication? There is no way back.")
    }

    @Test func `a publication in another database is left there, and this is said`() throws {
        let item = try named("c", publications: true).items[0]
        #expect(!item.dropsPublication)
        #expect(item.reason.hasSuffix("its publication is in database crm and stays"))
    }

    @Test func `a publication whose slot is gone already can be dropped`() throws {
        let plan = try named("alone", publications: true)
        #expect(plan.drops.map(\.publication) == ["di_pub_alone"])
        #expect(plan.question == "Drop 1 publication? There is no way back.")
        #expect(throws: WalrelayError.self) { try named("alone") }
    }
}
