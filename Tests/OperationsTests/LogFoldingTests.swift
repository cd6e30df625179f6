// SPDX-License-Identifier: Apache-2.0
//
// What repeats itself is shown once, counted, and told in time; nothing is lost from the count.

import Logging
import Pipeline
import Testing

@testable import Operations

@Suite struct LogFoldingTests {
    private let lines = LogLines()

    private func logger(_ format: LogFormat = .text) -> (Logger, LogOutput) {
        lines.logger(LogStyle(format: format, isJournal: format == .text))
    }

    /// How the last of them is told, so many seconds after the first.
    private static func last(_ seconds: Int64) -> String {
        "last at \(UTCTimestamp(unixMilliseconds: 1_767_323_045_678 + seconds * 1000))"
    }

    /// Says it so many times, a second apart.
    private func repeated(_ count: Int, _ body: () -> Void) {
        for _ in 0..<count {
            body()
            lines.advance(seconds: 1)
        }
    }

    @Test func `the first is shown at once, the others when it has been quiet for a while`() {
        let (log, output) = logger()
        repeated(13) { log.error("cannot connect", metadata: ["code": "source.gone"]) }
        #expect(lines.all == ["<3>cannot connect code=source.gone"])
        log.info("something else")
        lines.advance(seconds: 88)
        output.tick()
        #expect(lines.all.count == 2)
        lines.advance(seconds: 1)
        output.tick()
        output.tick()
        #expect(
            lines.all.dropFirst() == [
                "<6>something else",
                "<3>cannot connect code=source.gone"
                    + " (12 more times in 12 s, last at 2026-01-02T03:04:17.678Z)",
            ]
        )
        log.error("cannot connect", metadata: ["code": "source.gone"])
        #expect(lines.all.count == 4, "after the silence it is news")
    }

    @Test func `trouble that goes on is told every ten minutes`() {
        let (log, _) = logger(.json)
        repeated(3000) { log.error("disk full", metadata: ["code": "sink.disk_full"]) }
        // At 600, 1200, 1800 and 2400 s; what came since is held.
        #expect(lines.all.count == 5)
        #expect(
            lines.all[1].contains("\"repeated\":599,\"repeatedMilliseconds\":599000,\"lastTime\":")
        )
        #expect(lines.all.dropFirst(2).allSatisfy { $0.contains("\"repeated\":600,") })
        #expect(lines.all[1].hasPrefix("{\"time\":\"2026-01-02T03:14:05.678Z\""))
    }

    @Test func `the last words of a process have the rest of the count`() {
        let (log, output) = logger()
        repeated(2) { log.error("disk full", metadata: ["code": "sink.disk_full"]) }
        output.flush()
        output.flush()
        log.error("ends", metadata: ["code": "sink.disk_full", "exit": "75"])
        #expect(
            lines.all == [
                "<3>disk full code=sink.disk_full",
                "<3>disk full code=sink.disk_full (1 more time in 1 s, \(Self.last(1)))",
                "<3>ends code=sink.disk_full exit=75",
            ]
        )
    }

    @Test func `of one code a few wordings are shown, and the rest is counted`() {
        let (log, output) = logger()
        for pid in 0..<10 {
            log.warning("held by \(pid)", metadata: ["code": "slot.in_use"])
            log.warning("held by \(pid)", metadata: ["code": "slot.in_use"])
        }
        log.warning("something else", metadata: ["code": "slot.missing"])
        log.error("held by 0", metadata: ["code": "slot.in_use"])
        output.flush()
        #expect(
            lines.all == (0..<4).map { "<4>held by \($0) code=slot.in_use" } + [
                "<4>something else code=slot.missing", "<3>held by 0 code=slot.in_use",
                "<4>held by 9 code=slot.in_use (16 more times in 0 ms, \(Self.last(0)))",
            ]
        )
    }

    @Test func `a warning without a code is itself only, and every other value is another`() {
        let (log, output) = logger()
        for table in 0..<20 {
            for _ in 0..<2 { log.warning("refused", metadata: ["table": "t\(table)"]) }
        }
        output.flush()
        #expect(lines.all.count == 40)
        #expect(Set(lines.all).count == 40)
    }

    @Test func `phases that flap are counted, work that is told is not`() {
        let (log, output) = logger()
        repeated(50) {
            log.info("streaming from 0/1 on", metadata: ["phase": "streaming"])
            log.info("made the publication")
        }
        output.flush()
        #expect(lines.all.count { $0.hasPrefix("<6>streaming") } == 7)
        #expect(
            lines.all.last == "<6>streaming from 0/1 on (44 more times in 49 s, \(Self.last(49)))"
        )
        #expect(lines.all.count { $0.hasSuffix("publication") } == 50)
    }

    @Test func `what is remembered has a bound, and what is forgotten is told first`() {
        let (log, output) = logger()
        for number in 0..<500 {
            for _ in 0..<3 { log.error("e", metadata: ["code": "c\(number)"]) }
        }
        #expect(lines.all.count == 500 + (500 - LogFolding.kindLimit))
        output.flush()
        #expect(lines.all.count == 1000)
        #expect(lines.all.count { $0.hasSuffix("(2 more times in 0 ms, \(Self.last(0)))") } == 500)
    }

    @Test func `a clock that is set back holds nothing up`() {
        let (log, output) = logger()
        repeated(3) { log.error("e") }
        lines.advance(seconds: -86_400)
        output.tick()
        #expect(lines.all.last == "<3>e (2 more times in 2 s, \(Self.last(2)))")
    }

    @Test func `what was asked for by debug is never folded`() {
        let (log, _) = logger()
        for _ in 0..<5 { log.debug("d", metadata: ["code": "librdkafka.MSGSET"]) }
        #expect(lines.all.count == 5)
    }
}
