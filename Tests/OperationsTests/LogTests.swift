// SPDX-License-Identifier: Apache-2.0
//
// The log lines: for people, for programs and for the journal; escaping; bounds. Folding has a file
// of its own.

import Foundation
import Glibc
import Logging
import Pipeline
import Synchronization
import Testing

@testable import Operations

/// Collects lines, at times that the test sets.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])
    private let time = Mutex<Int64>(1_767_323_045_678)

    var all: [String] { lines.withLock { $0 } }

    func append(_ line: String) { lines.withLock { $0.append(line) } }

    func advance(seconds: Int64) { time.withLock { $0 += seconds * 1000 } }

    var now: UTCTimestamp { time.withLock { UTCTimestamp(unixMilliseconds: $0) } }

    /// A logger that writes here, and the output it shares with others.
    func logger(_ style: LogStyle, level: Logger.Level = .trace) -> (Logger, LogOutput) {
        let output = LogOutput(
            style: style,
            level: level,
            now: { self.now },
            sink: { self.append($0) }
        )
        return (Logger(label: "test") { _ in LineLogHandler(output: output) }, output)
    }
}

@Suite struct LogTests {
    private let lines = LogLines()

    private func logger(
        _ format: LogFormat,
        colour: Bool = false,
        journal: Bool = false,
        level: Logger.Level = .trace
    ) -> (Logger, LogOutput) {
        lines.logger(
            LogStyle(format: format, isColoured: colour, isJournal: journal),
            level: level
        )
    }

    @Test func `text is time, level, message and values in the order of keys`() {
        let (log, _) = logger(.text)
        log.info("task streams", metadata: ["slot": "di_slot_orders", "lsn": "16/B374D848"])
        log.warning("server lost", metadata: ["error": "timeout expired", "empty": ""])
        #expect(
            lines.all == [
                "2026-01-02T03:04:05.678Z info  task streams lsn=16/B374D848 slot=di_slot_orders",
                "2026-01-02T03:04:05.678Z warn  server lost empty=\"\" error=\"timeout expired\"",
            ]
        )
    }

    @Test func `colour stands around the level only, and only when asked for`() {
        let (log, _) = logger(.text, colour: true)
        log.error("broken")
        #expect(lines.all == ["2026-01-02T03:04:05.678Z \u{1b}[31merror\u{1b}[0m broken"])
    }

    @Test func `JSON has stable keys and the metadata beside them`() throws {
        var (log, _) = logger(.json)
        log[metadataKey: "task"] = "orders"
        log.notice(
            "a \"b\"",
            metadata: ["level": "x", "n": .stringConvertible(7), "list": ["a", "b"]]
        )
        #expect(
            lines.all == [
                #"{"time":"2026-01-02T03:04:05.678Z","level":"notice","message":"a \"b\"","#
                    + #""level_":"x","list":["a","b"],"n":7,"task":"orders"}"#
            ]
        )
    }

    @Test func `for the journal the priority leads and the time is left out`() {
        let (log, _) = logger(.text, journal: true)
        log.critical("c")
        log.error("e")
        log.warning("w")
        log.notice("n")
        log.info("i", metadata: ["a": "b"])
        log.debug("d")
        #expect(lines.all == ["<2>c", "<3>e", "<4>w", "<5>n", "<6>i a=b", "<7>d"])
    }

    @Test func `JSON for the journal carries the priority too`() throws {
        let (log, _) = logger(.json, journal: true)
        log.error("e")
        #expect(try #require(lines.all.first).hasPrefix("<3>{\"time\":"))
    }

    @Test(arguments: attacks) func `no value forges a line or reaches the terminal`(
        text: String
    ) throws {
        let (plain, _) = logger(.text)
        plain.error("\(text)", metadata: ["name": "\(text)", "list": ["\(text)"]])
        let (json, _) = logger(.json)
        json.error("\(text)", metadata: ["name": "\(text)", "list": ["\(text)"]])
        #expect(lines.all.count == 2)
        for scalar in lines.all.joined().unicodeScalars {
            #expect(scalar.value >= 0x20 && scalar.value != 0x7f && scalar.value != 0x2028)
        }
        let object = try JSONSerialization.jsonObject(with: Data(lines.all[1].utf8))
        let members = try #require(object as? [String: Any])
        #expect(members["message"] as? String == text)
        #expect(members["name"] as? String == text)
    }

    @Test func `a long value is cut and stays valid`() throws {
        let (log, _) = logger(.json)
        log.info("m", metadata: ["v": "\(String(repeating: "表", count: 10_000))"])
        let line = try #require(lines.all.first)
        #expect(line.utf8.count < 9000)
        #expect(line.hasSuffix("表…\"}"))
    }

    @Test func `levels below the set one are silent`() {
        let (log, _) = logger(.text, level: .warning)
        log.info("no")
        log.warning("yes")
        #expect(lines.all.count == 1)
    }

    @Test func `figures are members for programs and nothing more for people`() {
        let figures: Logger.Metadata = [
            "rows": .stringConvertible(5), "share": .stringConvertible(0.25), "lsn": "0/1",
        ]
        let (text, _) = logger(.text, journal: true)
        text.info("5 rows", metadata: ["figures": .dictionary(figures), "phase": "streaming"])
        let (json, _) = logger(.json)
        json.info("5 rows", metadata: ["figures": .dictionary(figures), "phase": "streaming"])
        #expect(
            lines.all == [
                "<6>5 rows",
                #"{"time":"2026-01-02T03:04:05.678Z","level":"info","message":"5 rows","#
                    + #""lsn":"0/1","phase":"streaming","rows":5,"share":0.25}"#,
            ]
        )
    }

    @Test(arguments: LogFormat.allCases, ["\u{1b}", "x", "\u{e0001}", "\"", "表"])
    func `a line has a bound whatever it holds`(format: LogFormat, unit: String) throws {
        let (log, _) = logger(format)
        let long = String(repeating: unit, count: 20_000)
        let members = (0..<20).map { ("key\($0)", Logger.MetadataValue.string(long)) }
        log.info("\(long)", metadata: Dictionary(uniqueKeysWithValues: members))
        let line = try #require(lines.all.first)
        #expect(line.utf8.count <= LogStyle.lineLimit)
        guard format == .json else { return }
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
        #expect((object as? [String: Any])?["cut"] as? Bool == true)
    }

    @Test func `a level that is set holds for every logger at once`() {
        let (log, output) = logger(.text, journal: true, level: .warning)
        let other = Logger(label: "other") { _ in LineLogHandler(output: output) }
        var quiet = log
        quiet.logLevel = .critical
        log.info("1")
        output.level = .debug
        for logger in [log, other, quiet] { logger.debug("2") }
        output.level = .error
        for logger in [log, other, quiet] { logger.warning("3") }
        #expect(lines.all == ["<7>2", "<7>2"])
        #expect(log.logLevel == .error)
    }

    @Test func `a format that is set holds from the next line on`() {
        let (log, output) = logger(.text, journal: true)
        for _ in 0..<3 { log.warning("w") }
        output.format = .json
        log.info("i")
        #expect(
            lines.all == [
                "<4>w", "<4>w (2 more times in 0 ms, last at 2026-01-02T03:04:05.678Z)",
                #"<6>{"time":"2026-01-02T03:04:05.678Z","level":"info","message":"i"}"#,
            ]
        )
    }

    @Test func `the journal is known by device and inode`() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        var facts = stat()
        try #require(fstat(ends[1], &facts) == 0)
        let name = "\(facts.st_dev):\(facts.st_ino)"
        #expect(LogOutput.isJournal(name, descriptor: ends[1]))
        #expect(!LogOutput.isJournal("1:2", descriptor: ends[1]))
        #expect(!LogOutput.isJournal(nil, descriptor: ends[1]))
    }

    @Test func `a line is one write with its end`() throws {
        // A sequenced-packet socket keeps each write apart.
        var ends: [Int32] = [0, 0]
        try #require(
            socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0
        )
        defer { for end in ends { close(end) } }
        LogOutput.writeLine("one two", to: ends[0])
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = read(ends[1], &buffer, buffer.count)
        #expect(String(decoding: buffer[..<max(0, count)], as: UTF8.self) == "one two\n")
    }
}
