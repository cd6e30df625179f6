// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of what a slot holds back: rates, forecasts, and when a warning begins, is said
// again and ends.

import ChangeModel
import Replication
import Testing

@testable import Pipeline

private let second: UInt64 = 1_000_000_000
private let mebibyte: Int64 = 1 << 20
private let gibibyte: Int64 = 1 << 30

@Suite struct WALGaugeTests {
    @Test func `rates are of the last five minutes, and unknown before ten seconds`() throws {
        var gauge = WALGauge()
        #expect(gauge.walPerSecond == nil)
        gauge.note(wal: 0, retained: 0, at: 0)
        gauge.note(wal: 9_000, retained: 9_000, at: 9 * second)
        #expect(gauge.walPerSecond == nil)
        gauge.note(wal: 10_000, retained: 5_000, at: 10 * second)
        #expect(gauge.walPerSecond == 1000)
        #expect(gauge.growthPerSecond == nil, "one burst is no tendency")
        // Then a hundred times as much, looked at every two seconds for six minutes.
        for step in 1...180 as ClosedRange<UInt64> {
            let time = 10 + step * 2
            gauge.note(wal: 10_000 + step * 200_000, retained: 5_000, at: time * second)
        }
        #expect(try #require(gauge.walPerSecond) == 100_000)
        #expect(gauge.growthPerSecond == 0)
    }

    @Test func `what a restored or other server says begins anew`() {
        var gauge = WALGauge()
        gauge.note(wal: 1_000_000, retained: 0, at: 0)
        gauge.note(wal: 2_000_000, retained: 0, at: 20 * second)
        #expect(gauge.walPerSecond == 50_000)
        gauge.note(wal: 1_500_000, retained: 0, at: 22 * second)
        #expect(gauge.walPerSecond == nil)
    }

    @Test func `a step back is a negative growth`() throws {
        var gauge = WALGauge()
        gauge.note(wal: 0, retained: 4_000, at: 0)
        gauge.note(wal: 4_000, retained: 0, at: 80 * second)
        #expect(try #require(gauge.growthPerSecond) == -50)
    }
}

@Suite struct RetentionJudgeTests {
    private func judge(
        _ change: (inout SlotBudget) -> Void = { _ in }
    ) -> RetentionJudge {
        var budget = SlotBudget()
        change(&budget)
        return RetentionJudge(budget)
    }

    private func reading(
        _ retained: Int64,
        wal: UInt64? = nil,
        safe: Int64? = nil,
        status: String? = "reserved"
    ) -> SlotReading {
        SlotReading(
            slot: "di_slot_t",
            wal: wal ?? UInt64(retained),
            retained: retained,
            safe: safe,
            walStatus: status
        )
    }

    @Test func `an amount is warned of from the setting on, and no more well below it`() throws {
        var judge = judge()
        #expect(judge.judge(reading(5 * gibibyte - 1), at: 0).status.warning == nil)
        let warning = judge.judge(reading(5 * gibibyte), at: second).status.warning
        #expect(
            warning == "The slot di_slot_t holds back 5 GiB of WAL: more than "
                + "slot.retainWarning (5 GiB)"
        )
        #expect(judge.judge(reading(4 * gibibyte + 1), at: 2 * second).status.warning != nil)
        #expect(judge.judge(reading(4 * gibibyte - 100), at: 3 * second).status.warning == nil)
        #expect(judge.judge(reading(4 * gibibyte + 1), at: 4 * second).status.warning == nil)
    }

    @Test func `a server's limit that comes sooner is warned of at its half`() {
        var judge = judge()
        let below = judge.judge(reading(gibibyte / 2 - 1, safe: gibibyte / 2 + 1), at: 0).status
        #expect(below.warning == nil)
        #expect(below.limitBytes == Int(gibibyte) && below.warningBytes == Int(gibibyte / 2))
        let half = judge.judge(reading(gibibyte / 2, safe: gibibyte / 2), at: second).status
        #expect(half.warning?.hasSuffix("more than half of max_slot_wal_keep_size") == true)
    }

    @Test func `none never warns of an amount, and yet of a slot that is about to be lost`() {
        var judge = judge { $0.warning = nil }
        #expect(judge.judge(reading(900 * gibibyte), at: 0).status.warning == nil)
        let grave = judge.judge(
            reading(900 * gibibyte, safe: -5, status: "unreserved"),
            at: second
        ).status
        #expect(grave.warning?.contains("next checkpoint may remove what it needs") == true)
    }

    @Test func `a bound that is reached within the hour is forecast and warned of`() throws {
        var judge = judge { $0.stop = 4 * gibibyte }
        func look(_ mebibytes: Int64, _ time: UInt64) -> TaskStatus.Retention {
            judge.judge(
                reading(mebibytes * mebibyte, safe: gibibyte - mebibytes * mebibyte),
                at: time * second
            ).status
        }
        // 1 MiB a second, and one GiB is the server's limit.
        #expect(look(0, 0).forecastSeconds == nil)
        #expect(look(58, 58).forecastSeconds == nil)
        let early = look(60, 60)
        #expect(early.walBytesPerSecond == Int(mebibyte))
        #expect(early.forecastSeconds == 964)
        #expect(early.forecastLimit == "max_slot_wal_keep_size")
        #expect(early.warning == nil, "not a tenth of the way")
        let warning = try #require(look(104, 104).warning)
        #expect(warning.contains("in about 15 min it reaches max_slot_wal_keep_size"))
    }

    @Test func `the nearest bound is the one that is forecast`() {
        var judge = judge { $0.stop = gibibyte / 4 }
        _ = judge.judge(reading(0, safe: gibibyte), at: 0)
        let status = judge.judge(
            reading(60 * mebibyte, safe: gibibyte - 60 * mebibyte),
            at: 60 * second
        ).status
        #expect(status.forecastLimit == "slot.retainStop" && status.forecastSeconds == 196)
    }

    @Test func `what does not grow is not forecast, and a far bound is no warning`() {
        var steady = judge()
        _ = steady.judge(reading(gibibyte / 4, wal: 0, safe: gibibyte), at: 0)
        let still = steady.judge(
            reading(gibibyte / 4, wal: UInt64(gibibyte), safe: gibibyte),
            at: 60 * second
        ).status
        #expect(still.forecastSeconds == nil && still.warning == nil)
        #expect(still.walBytesPerSecond ?? 0 > 0)
        var slow = judge()
        _ = slow.judge(reading(0, safe: 64 * gibibyte), at: 0)
        let far = slow.judge(reading(60 * mebibyte, safe: 63 * gibibyte), at: 60 * second).status
        #expect(far.forecastSeconds ?? 0 > 3600 && far.warning == nil)
    }

    @Test func `past the stop it is over once that has not become less for the time it has`() {
        var judge = judge {
            $0.stop = gibibyte
            $0.patience = .seconds(30)
        }
        func isOver(_ retained: Int64, _ time: UInt64) -> Bool {
            judge.judge(reading(retained), at: time * second).isOver
        }
        func isNeverOver(_ retained: Int64, _ times: ClosedRange<UInt64>) -> Bool {
            times.allSatisfy { !isOver(retained, $0) }
        }
        #expect(!isOver(gibibyte - 1, 0))
        #expect(isNeverOver(gibibyte, 2...31))
        #expect(isOver(gibibyte, 32), "30 s past it, and no less")
        #expect(!isOver(gibibyte - 1, 34), "below it all is forgotten")
        #expect(isNeverOver(3 * gibibyte, 36...59))
        #expect(isNeverOver(2 * gibibyte, 60...89), "it is being worked off")
        #expect(isOver(5 * gibibyte, 90))
    }

    @Test func `time that nobody has looked in, or that was given anew, does not count`() {
        var judge = judge { $0.stop = gibibyte }
        func isOver(_ times: ClosedRange<UInt64>) -> Bool {
            times.contains { judge.judge(reading(gibibyte), at: $0 * second).isOver }
        }
        #expect(!isOver(100...129))
        #expect(!isOver(140...169), "the source was away for 11 s")
        judge.giveTime()
        #expect(!isOver(170...199))
        #expect(isOver(200...200))
    }

    @Test func `what passes the stop is said before it is done`() throws {
        var judge = judge { $0.stop = gibibyte }
        let warning = judge.judge(reading(2 * gibibyte), at: 0).status.warning
        #expect(try #require(warning).contains("slot.retainStop (1 GiB) is passed"))
        #expect(try #require(warning).contains("dropped unless that becomes less within 30 s"))
    }

    @Test(
        arguments: [
            (0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"),
            (5 << 30, "5 GiB"), ((5 << 30) - 1, "4.9 GiB"), (Int64.max, "8191.9 PiB"),
        ] as [(Int64, String)]
    )
    func `an amount is cut off, never rounded up`(bytes: Int64, text: String) {
        #expect(Quantity.bytes(bytes) == text)
    }
}

@Suite struct SlotDemandTests {
    private let start = ContinuousClock.now
    private let patience: Duration = .seconds(30)

    private func primary(timeline: UInt32 = 1) -> Primary {
        Primary(systemIdentifier: "1", timeline: timeline)
    }

    @Test func `the same server again changes nothing, another one all`() {
        var demand = SlotDemand()
        demand.expect(on: primary())
        demand.holdToBudget(now: start)
        let epoch = demand.epoch
        demand.expect(on: primary())
        demand.holdToBudget(now: start + .seconds(5))
        #expect(demand.epoch == epoch && demand.isHeldToBudget)
        demand.expect(on: primary(timeline: 2))
        #expect(demand.epoch != epoch && !demand.isHeldToBudget)
        #expect(demand.primary?.timeline == 2)
        demand.expectNothing()
        #expect(demand.primary == nil)
    }

    @Test func `who begins to stream has its time anew, and who does so over and over has not`() {
        var demand = SlotDemand()
        demand.expect(on: primary())
        demand.holdToBudget(now: start)
        var epoch = demand.epoch
        func isGiven(_ seconds: Int) -> Bool {
            demand.giveTime(patience: patience, now: start + .seconds(seconds))
            defer { epoch = demand.epoch }
            return demand.epoch != epoch
        }
        #expect(!isGiven(59))
        #expect(isGiven(30_000), "after a night's outage")
        #expect(!isGiven(30_020) && !isGiven(30_040))
        #expect(isGiven(30_060))
    }
}

@Suite struct RetentionNoticesTests {
    @Test func `a warning is said as it begins, as it doubles, hourly, and when it is over`() {
        var notices = RetentionNotices()
        func line(
            _ text: String?,
            _ retained: Int64,
            _ time: UInt64,
            grave: Bool = false
        )
            -> RetentionNotices.Line?
        {
            notices.line(for: text, retained: retained, isGrave: grave, at: time * second)
        }
        #expect(line(nil, 1, 0) == nil)
        #expect(line("a", 100, 2) == .warning("a"))
        #expect(line("b", 150, 4) == nil)
        #expect(line("c", 200, 6) == .warning("c"))
        #expect(line("d", 399, 8) == nil)
        #expect(line("e", 390, 3_606) == .warning("e"))
        #expect(line("f", 390, 3_608, grave: true) == .warning("f"))
        #expect(line("g", 390, 3_610, grave: true) == nil)
        #expect(line(nil, 5, 3_612) == .over)
        #expect(line(nil, 5, 3_614) == nil)
        #expect(line("h", 5, 3_616) == .warning("h"))
    }
}
