// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Pipeline
import Settings
import Testing

@testable import Commands

@Suite struct SlotsReportTests {
    let rows = [
        SlotRow(
            slot: "di_slot_old",
            task: "old",
            database: "shop",
            plugin: "pgoutput",
            retainedBytes: 13_421_772_800,
            walStatus: "extended",
            safeWALBytes: 1 << 30,
            inactiveSince: "2026-01-05 12:00:00+00",
            inactiveSeconds: 273_600,
            restartLSN: "0/16B3748"
        ),
        SlotRow(
            slot: "di_slot_orders",
            task: "orders",
            database: "shop",
            plugin: "pgoutput",
            active: true,
            activePID: 4711,
            retainedBytes: 56,
            walStatus: "reserved",
            publication: "di_pub_orders"
        ),
        SlotRow(
            slot: "di_slot_x",
            task: "x",
            database: "crm",
            walStatus: "lost",
            invalidationReason: "wal_removed",
            isOfThisDatabase: false
        ),
        SlotRow(slot: "deb\u{1B}ezium", database: "crm", retainedBytes: 0),
    ]

    @Test func `slots are a table with what an operator asks first`() {
        let lines = SlotsReport.text(rows, all: true).split(separator: "\n").map(String.init)
        #expect(
            lines.map { $0.replacing(#/ {2,}/#, with: "|") } == [
                "SLOT|DATABASE|STATE|RETAINED|WAL|PUBLICATION",
                "di_slot_old|shop|inactive for 3 d 4 h|12.5 GiB|extended, lost after 1 GiB more|none",
                "di_slot_orders|shop|active, pid 4711|56 bytes|reserved|di_pub_orders",
                "di_slot_x|crm|inactive|-|lost (wal_removed)|? (in crm)",
                #"deb\u{1b}ezium|crm|inactive|0 bytes|-|-"#,
                "4 slots, 1 active, 1 lost; 12.5 GiB of WAL held back",
            ]
        )
    }

    @Test func `no slot is a sentence`() {
        #expect(SlotsReport.text([], all: false).contains("--all"))
        #expect(SlotsReport.text([], all: true) == "The server has no logical slot.\n")
    }

    @Test func `the json has every key, unknown ones as null`() throws {
        let object = try JSONSerialization.jsonObject(with: Data(SlotsReport.json(rows).utf8))
        let slots = try #require(object as? [[String: Any]])
        #expect(
            Set(slots[3].keys) == [
                "slot", "task", "database", "plugin", "active", "activePID", "retainedBytes",
                "walStatus", "safeWALBytes", "invalidationReason", "inactiveSince",
                "inactiveSeconds", "restartLSN", "confirmedFlushLSN", "failover", "synced",
                "publication",
            ]
        )
        #expect(slots[3]["task"] is NSNull)
        #expect(slots[0]["retainedBytes"] as? Int == 13_421_772_800)
        #expect(slots[1]["active"] as? Bool == true)
    }

    @Test func `a plan says of each slot what and why`() {
        let plan = SlotsDropPlan(items: [
            .init(task: "a", name: "di_slot_a", drops: true, dropsPublication: true, reason: "old"),
            .init(task: "bb", name: "di_slot_bb", drops: false, reason: "in use by pid 4711"),
        ])
        #expect(
            SlotsReport.text(plan) == """
                drop  di_slot_a + di_pub_a  old
                keep  di_slot_bb            in use by pid 4711

                """
        )
    }
}

@Suite struct StatusReportTests {
    @Test func `a task that has just begun shows dashes, not zeros`() {
        let text = StatusReport.text(TaskStatus(task: "orders", version: "1", sinkKind: "ndjson"))
        #expect(text.hasPrefix("task         orders, checking\n             Looking at the source"))
        #expect(text.contains("\nsource       -\nslot         -\n"))
        #expect(text.contains("\nlag          -\n"))
        #expect(text.contains("\nlast error   none\n"))
    }

    @Test func `a snapshot is shown table by table`() {
        var status = TaskStatus(task: "orders", version: "1", sinkKind: "ndjson")
        status.phase = .snapshotting
        status.snapshot.tables = [
            .init(
                table: "public.big",
                state: .copying,
                rowsEstimated: 5_000_000,
                rowsCopied: 1_234_567,
                bytesCopied: 1 << 27
            ),
            .init(
                table: "public.s\u{1B}[2J",
                state: .done,
                rowsEstimated: 9,
                rowsCopied: 10,
                bytesCopied: 1
            ),
        ]
        let text = StatusReport.text(status)
        #expect(
            text.contains(
                "snapshot     [####................] 24 %, 1 of 2 tables done, 1,234,577 rows, - left\n"
            )
        )
        #expect(
            text.hasSuffix(
                """
                  public.big         copying  [####................] 24 %  \
                1,234,567 of about 5,000,000 rows  128 MiB  - left
                  public.s\\u{1b}[2J  done                                  10 rows  \
                                          1 byte

                """
            )
        )
    }

    @Test func `tables are listed as long as there is something to copy, and not without end`() {
        var status = TaskStatus(task: "orders", version: "1", sinkKind: "ndjson")
        status.snapshot.tables = (0..<1000).map { .init(table: "t\($0)", state: .done) }
        #expect(
            StatusReport.text(status).contains("snapshot     1000 of 1000 tables done, 0 rows\n")
        )
        #expect(!StatusReport.text(status).contains("t0 "))
        status.snapshot.tables[700].state = .copying
        status.snapshot.tables[700].secondsLeft = 1234
        let text = StatusReport.text(status)
        #expect(text.hasSuffix("  and 980 more\n"))
        let first = text.split(separator: "\n").first { $0.hasPrefix("  t") }
        #expect(first?.hasPrefix("  t700  copying") == true)
        #expect(first?.hasSuffix("21 min left") == true)
    }

    @Test func `warnings, certificates and the errors of late are there`() {
        var status = TaskStatus(task: "orders", version: "1", sinkKind: "ndjson")
        status.phase = .failed
        status.uptimeSeconds = 3700
        status.warnings = [.init(code: "slot.retention", text: "5 GiB", since: "2026")]
        status.certificates = [
            .init(
                server: .source,
                certificate: "server",
                subject: "CN=a",
                notAfterSeconds: 86_400 * 31
            ),
            .init(server: .target, certificate: "client", subject: "CN=b", notAfterSeconds: 5),
        ]
        let last = TaskStatus.Failure(code: "a.b", message: "broke", hint: "mend it", at: "t9")
        let first = TaskStatus.Failure(code: "c.d", message: "blinked", hint: "wait", at: "t1")
        status.lastError = last
        status.recentErrors = [.init(last), .init(first, firstAt: "t0", count: 1234)]
        let report = StatusReport(status: status, unixSeconds: 86_400)
        let text = report.lines.map { $0.text + "\n" }.joined()
        for line in [
            "task         orders, failed\n", "warning      5 GiB [slot.retention]\n",
            "certificate  source, server: CN=a, valid for 30 days, until 1970-02-01\n",
            "certificate  target, client: CN=b, expired, until 1970-01-01\n",
            "last error   t9  broke [a.b]\n             try: mend it\n",
            "before       t1, 1,234 times  blinked [c.d]\n",
            "version      walrelay 1, up 1 h 1 min\n",
        ] {
            #expect(text.contains(line), "\(line)")
        }
        let coloured = report.lines.map { $0.rendered(isColoured: true) }.joined()
        #expect(coloured.contains("\u{1B}[31mfailed\u{1B}[0m"))
        #expect(coloured.contains("\u{1B}[31mexpired, until 1970-01-01\u{1B}[0m"))
        #expect(coloured.contains("\u{1B}[33mwarning\u{1B}[0m"))
    }

    @Test func `the bar of run says what the phase is about`() {
        var status = TaskStatus(task: "orders", version: "1", sinkKind: "ndjson")
        #expect(RunProgressText.line(status) == "checking")
        status.phase = .snapshotting
        status.snapshot.tables = [
            .init(table: "a", state: .copying, rowsEstimated: 1000, rowsCopied: 500)
        ]
        status.snapshot.rowsPerSecond = 12.25
        status.snapshot.secondsLeft = 41
        #expect(
            RunProgressText.line(status)
                == "snapshot [##########..........] 50 %, 0 of 1 table, 12 rows/s, 45 s left"
        )
        status.phase = .streaming
        status.stream.changesPerSecond = 1234.4
        status.stream.lagMilliseconds = 12
        status.source.lagBytes = 2048
        #expect(
            RunProgressText.line(status)
                == "streaming, 1,234 changes/s, lag 12 ms, 2 KiB to confirm"
        )
        status.phase = .reconnecting
        status.lastError = .init(code: "a", message: "gone", hint: "", at: "")
        #expect(RunProgressText.line(status) == "reconnecting: gone")
    }

    @Test func `slot, lag, rate and the last error with its way out are there`() {
        var status = TaskStatus(task: "orders", version: "1", sinkKind: "ndjson")
        status.source.slot = "di_slot_orders"
        status.source.walStatus = "reserved"
        status.source.retainedBytes = 3 << 20
        status.source.lagBytes = 1536
        status.stream.lagMilliseconds = 125_000
        status.stream.changesPerSecond = 1_999.6
        status.sink.details = ["length": 1_000, "file": "000000000001.ndjson.open"]
        status.lastError = .init(code: "a.b", message: "broke", hint: "mend it", at: "2026")
        let text = StatusReport.text(status)
        #expect(text.contains("slot         di_slot_orders, reserved, holds back 3 MiB of WAL\n"))
        #expect(text.contains("lag          1.5 KiB, 2 min 5 s\n"))
        #expect(text.contains("rate         2,000 changes/s; since"))
        #expect(text.contains("sink         ndjson, file 000000000001.ndjson.open, length 1,000\n"))
        #expect(text.contains("last error   2026  broke [a.b]\n             try: mend it\n"))
    }

    @Test func `a kafka sink's details have their units`() {
        var status = TaskStatus(task: "orders", version: "1", sinkKind: "kafka")
        status.sink.details = [
            "queueBytes": 2048, "rttMicroseconds": 1500, "recordsWritten": 12_345,
        ]
        #expect(
            StatusReport.text(status)
                .contains(
                    "sink         kafka, queueBytes 2 KiB, recordsWritten 12,345, rtt 1.5 ms\n"
                )
        )
    }
}

@Suite struct StatusAddressTests {
    private func url(_ listen: Endpoint?) throws -> String {
        var settings = Settings(
            task: "orders",
            source: .init(.server(hosts: [], ports: [], database: "shop", user: nil)),
            tables: .init(include: [], exclude: []),
            sink: .stream
        )
        settings.http.listen = listen
        return try StatusAddress(of: settings.task, settings.http, path: "o.yaml").url
            .absoluteString
    }

    @Test func `an address that stands for all is asked on this machine`() throws {
        #expect(try url(Endpoint(host: "0.0.0.0", port: 9)) == "http://127.0.0.1:9/status")
        #expect(try url(Endpoint(host: "::", port: 9)) == "http://[::1]:9/status")
        #expect(try url(Endpoint(host: "box", port: 9)) == "http://box:9/status")
        #expect(throws: (any Error).self) { try url(nil) }
        #expect(throws: (any Error).self) { try url(Endpoint(host: "box", port: 0)) }
    }

    @Test func `a URL may leave its path out`() throws {
        for (text, url) in [
            "http://h:8085": "http://h:8085/status", "http://h/": "http://h/status",
            "https://h/cdc/status": "https://h/cdc/status",
        ] {
            #expect(try StatusAddress(url: text).url.absoluteString == url)
        }
        for text in ["h:8085", "ftp://h", "http://", "", "a b"] {
            #expect(throws: (any Error).self) { try StatusAddress(url: text) }
        }
    }
}

@Suite struct TerminalTextTests {
    @Test(arguments: [
        (0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (1024, "1 KiB"), (1_588, "1.5 KiB"),
        (1_048_575, "1023.9 KiB"), (1 << 30, "1 GiB"), (Int64.max, "8191.9 PiB"),
        (Int64.min, "-8192 PiB"),
    ])
    func `bytes are cut off to one decimal`(count: Int64, text: String) {
        #expect(TerminalText.bytes(count) == text)
    }

    @Test(arguments: [
        (0, "0 s"), (59, "59 s"), (60, "1 min"), (3_661, "1 h 1 min"), (86_400 * 3, "3 d"),
        (-5, "0 s"),
    ])
    func `times have two units`(seconds: Int64, text: String) {
        #expect(TerminalText.time(seconds: seconds) == text)
    }

    @Test(arguments: [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567")])
    func `digits come in groups`(number: Int, text: String) {
        #expect(TerminalText.grouped(number) == text)
    }
}
