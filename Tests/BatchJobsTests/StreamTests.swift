// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import LibPQ
import Logging
import Settings
import Support
import Synchronization
import Testing

@testable import BatchJobs

@Suite struct StreamTests {
    private typealias Column = Job.StreamReader.Column

    private static func context(_ stop: StopSignal = StopSignal()) -> JobContext {
        JobContext(
            counters: JobCounters(),
            report: { throw WalrelayError("dirty", exit: .refused, $0.reason) },
            stop: stop,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    private static func refuse(_ record: DirtyRecord) {
        Issue.record("\(record)")
    }

    private static func rows(_ columns: [Column], _ count: Int) throws -> [[String?]] {
        let source = GeneratedSource(.init(columns: columns, rowsPerChannel: count), channels: 1)
        var rows: [[String?]] = []
        try source.open(.text).read(0, dirty: refuse) { rows.append(CopyText.values(of: $0)) }
        return rows
    }

    // MARK: Made-up rows

    @Test func `constants stand in each row, NULL and odd characters too`() throws {
        let columns = [
            Column(kind: .string, value: .constant("a\tb\\N")),
            Column(kind: .long, value: .constant("19890604")),
            Column(kind: .date, value: .constant(nil)),
            Column(kind: .bytes, value: .constant("te\\st")),
            Column(kind: .bytes, value: .constant("test")),
        ]
        let row: [String?] = ["a\tb\\N", "19890604", nil, "\\x74655c7374", "test"]
        #expect(try Self.rows(columns, 3) == [row, row, row])
    }

    @Test func `random values lie between their bounds and reach them`() throws {
        let columns = [
            Column(kind: .long, value: .random(-2...2)),
            Column(kind: .string, value: .random(0...3)),
            Column(kind: .double, value: .random(5...6)),
            Column(kind: .bool, value: .random(3...7)),
            Column(kind: .date, value: .random(-1...1_000)),
            Column(kind: .long, value: .random(.min ... .max)),
        ]
        let rows = try Self.rows(columns, 2_000)
        #expect(Set(rows.map { $0[0] }) == ["-2", "-1", "0", "1", "2"])
        #expect(Set(rows.map { $0[1]?.count }) == [0, 1, 2, 3])
        #expect(rows.allSatisfy { (5...6).contains(Double($0[2] ?? "") ?? 0) })
        let trues = rows.count { $0[3] == "true" }
        #expect((1_200...1_600).contains(trues) && rows.count { $0[3] == "false" } == 2_000 - trues)
        #expect(rows.allSatisfy { $0[4]?.hasPrefix("19") == true })
        #expect(Set(rows.map { $0[5] }).count == 2_000)
    }

    @Test(
        arguments: [
            (0, "1970-01-01 00:00:00"), (-1, "1969-12-31 23:59:59.999"),
            (1_404_691_200_000, "2014-07-07 00:00:00"),
            (951_782_400_005, "2000-02-29 00:00:00.005"),
        ])
    func `a random date is a moment in UTC`(milliseconds: Int64, text: String) {
        #expect(GeneratedValues.date(milliseconds) == text)
    }

    @Test(arguments: [Int64.min, .max])
    func `no bound is too far for a date`(milliseconds: Int64) {
        #expect(!GeneratedValues.date(milliseconds).isEmpty)
    }

    @Test func `each channel makes its rows, and no columns make none`() throws {
        let column = Column(kind: .long, value: .constant("1"))
        let source = GeneratedSource(.init(columns: [column], rowsPerChannel: 5), channels: 3)
        #expect(source.sliceCount == 3 && source.estimatedRecords == 15)
        #expect(source.shape.columns.map(\.typeOID) == [0] && !source.shape.allowsBinary)
        let empty = GeneratedSource(.init(columns: [], rowsPerChannel: 5), channels: 1)
        #expect(empty.estimatedRecords == 0 && empty.shape.columns.isEmpty)
        try empty.open(.text).read(0, dirty: Self.refuse) { _ in Issue.record("a row") }
    }

    // MARK: Printed rows

    /// Prints records into a file and gives what stands there.
    private static func printed(_ records: [String], delimiter: String = "\t") throws -> String {
        let directory = try TemporaryDirectory()
        let path = try directory.write("", to: "out")
        let file = try #require(FileHandle(forWritingAtPath: path))
        var step = Job.StreamWriter()
        step.prints = true
        step.delimiter = delimiter
        let context = context()
        let target = try PrintingTarget(step, descriptor: file.fileDescriptor, context: context)
        target.begin()
        let writer = target.open()
        for record in records { try Array(record.utf8).withUnsafeBytes { try writer.take($0) } }
        try writer.flush()
        target.finish()
        #expect(context.counters.recordsWritten.load(ordering: .relaxed) == records.count)
        return try String(contentsOfFile: path, encoding: .utf8)
    }

    @Test func `lines are what COPY writes`() throws {
        let records = ["1\ta\\tb\t\\N\n", "2\t\t\\\\N\n"]
        #expect(try Self.printed(records) == records.joined())
    }

    @Test func `another delimiter stands between values and is marked within them`() throws {
        #expect(try Self.printed(["1,5\ta\\tb\t\\N\n"], delimiter: ",") == "1\\,5,a\\tb,\\N\n")
        #expect(try Self.printed(["1|\tb\n"], delimiter: "||") == "1|||b\n")
        #expect(try Self.printed(["1\tb\n"], delimiter: "") == "1b\n")
    }

    @Test(arguments: ["\t", ","])
    func `rows longer than the buffer stay in their order`(delimiter: String) throws {
        let long = String(repeating: "x", count: 300_000)
        let records = ["1\n", long + "\n", "2\n", long + "3\n", "4\n"]
        #expect(try Self.printed(records, delimiter: delimiter) == records.joined())
    }

    @Test func `what is thrown away is counted`() throws {
        let context = Self.context()
        let target = try PrintingTarget(.init(), descriptor: -1, context: context)
        let writer = target.open()
        for _ in 0..<3_000 { try [UInt8(0x0A)].withUnsafeBytes { try writer.take($0) } }
        try writer.flush()
        #expect(context.counters.recordsWritten.load(ordering: .relaxed) == 3_000)
    }

    @Test func `lines of many channels are not broken by each other`() async throws {
        let pipe = Pipe()
        let output = try LineOutput(
            descriptor: pipe.fileHandleForWriting.fileDescriptor,
            stop: StopSignal()
        )
        let reading = Task.detached { try pipe.fileHandleForReading.readToEnd() ?? Data() }
        try await onOwnThread(named: "print") {
            try Crew().run(4, named: "print", stop: StopSignal()) { number, _ in
                let line = Array((String(repeating: "\(number)", count: 9_999) + "\n").utf8)
                for _ in 0..<50 { try line.withUnsafeBytes { try output.write($0) } }
            }
        }
        try pipe.fileHandleForWriting.close()
        let lines = String(decoding: try await reading.value, as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 200)
        #expect(lines.allSatisfy { $0.count == 9_999 && Set($0).count == 1 })
    }

    @Test func `a stop ends the wait for a reader that does not read`() async throws {
        let pipe = Pipe()
        let stop = StopSignal()
        let output = try LineOutput(
            descriptor: pipe.fileHandleForWriting.fileDescriptor,
            stop: stop
        )
        let line = [UInt8](repeating: 0x0A, count: 1 << 20)
        async let thrown = #expect(throws: CancellationError.self) {
            try await onOwnThread(named: "print") {
                try line.withUnsafeBytes { try output.write($0) }
            }
        }
        try await Task.sleep(for: .milliseconds(50))
        stop.request()
        _ = await thrown
        withExtendedLifetime(pipe) {}
    }

    @Test func `a reader that has gone is a quiet end`() throws {
        signal(SIGPIPE, SIG_IGN)
        let pipe = Pipe()
        try pipe.fileHandleForReading.close()
        let output = try LineOutput(
            descriptor: pipe.fileHandleForWriting.fileDescriptor,
            stop: StopSignal()
        )
        let error = #expect(throws: WalrelayError.self) {
            try [UInt8(0x0A)].withUnsafeBytes { try output.write($0) }
        }
        #expect(error?.code == "job.output_closed" && error?.exit == .success)
    }

    @Test func `an output that is not open is an error of the setting`() {
        let error = #expect(throws: WalrelayError.self) {
            try LineOutput(descriptor: 9_999, stop: StopSignal())
        }
        #expect(error?.code == "job.output" && error?.exit == .settings)
    }
}
