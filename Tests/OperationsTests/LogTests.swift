// SPDX-License-Identifier: Apache-2.0
//
// The log lines: for people, for programs and for the journal; escaping; folding.

import Foundation
import Glibc
import Logging
import Pipeline
import Synchronization
import Testing

@testable import Operations

/// Collects lines, at times that the test sets.
private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    private let time = Mutex<Int64>(1_767_323_045_678)

    var all: [String] { lines.withLock { $0 } }

    func append(_ line: String) { lines.withLock { $0.append(line) } }

    func advance(seconds: Int64) { time.withLock { $0 += seconds * 1000 } }

    var now: UTCTimestamp { time.withLock { UTCTimestamp(unixMilliseconds: $0) } }
}

@Suite struct LogTests {
    private let lines = Lines()

    private func logger(
        _ format: LogFormat,
        colour: Bool = false,
        journal: Bool = false,
        level: Logger.Level = .trace
    ) -> (Logger, LogOutput) {
        let style = LogStyle(format: format, isColoured: colour, isJournal: journal)
        let output = LogOutput(style: style, now: { lines.now }, sink: { lines.append($0) })
        let logger = Logger(label: "pipeline") {
            LineLogHandler(label: $0, output: output, level: level)
        }
        return (logger, output)
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
                #"{"ts":"2026-01-02T03:04:05.678Z","level":"notice","logger":"pipeline","#
                    + #""msg":"a \"b\"","level_":"x","list":["a","b"],"n":7,"task":"orders"}"#
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
        #expect(try #require(lines.all.first).hasPrefix("<3>{\"ts\":"))
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
        #expect(members["msg"] as? String == text)
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

    @Test func `repeated errors are folded and counted`() {
        let (log, _) = logger(.text)
        for _ in 0..<13 {
            log.error("cannot connect", metadata: ["host": "db"])
            lines.advance(seconds: 1)
        }
        #expect(lines.all.count == 1)
        log.info("connected")
        log.info("connected")
        #expect(
            lines.all == [
                "2026-01-02T03:04:05.678Z error cannot connect host=db",
                "2026-01-02T03:04:17.678Z error cannot connect (repeated 12 times) host=db",
                "2026-01-02T03:04:18.678Z info  connected",
                "2026-01-02T03:04:18.678Z info  connected",
            ]
        )
    }

    @Test func `an error that goes on for long is told once a minute, and the rest at the end`() {
        let (log, output) = logger(.json)
        for _ in 0..<70 {
            log.error("disk full")
            lines.advance(seconds: 1)
        }
        #expect(lines.all.count == 2)
        #expect(lines.all.last?.contains("\"repeated\":60") == true)
        output.flush()
        output.flush()
        #expect(lines.all.count == 3)
        #expect(lines.all.last?.contains("\"repeated\":9") == true)
    }

    @Test func `a different value is a different error`() {
        let (log, _) = logger(.text)
        log.error("refused", metadata: ["table": "a"])
        log.error("refused", metadata: ["table": "b"])
        #expect(lines.all.count == 2)
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
