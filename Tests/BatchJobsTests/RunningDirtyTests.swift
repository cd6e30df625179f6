// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Settings
import Support
import Testing

@testable import BatchJobs

@Suite struct RunningDirtyTests {
    /// Eight slices of 1000 rows, the bad ones spread over them.
    private static func slices(bad: Int) -> [[String]] {
        var slices = (0..<8).map { slice in (0..<1_000).map { "\(slice)-\($0)" } }
        for number in 0..<bad { slices[number % 8][number / 8 * 37 + 5] = "bad \(number)" }
        return slices
    }

    @Test(arguments: [1, 8])
    func `as many dirty records as are allowed do no harm`(channels: Int) throws {
        let job = MemoryJob(Self.slices(bad: 7), channels: channels) { $0.errorLimit.records = 7 }
        try job.runner.run()
        #expect(job.runner.progress.dirtyRecords == 7)
        #expect(job.written.count == 7_993)
        #expect(job.events.last == "finish")
    }

    @Test(arguments: [1, 8])
    func `one more fails the job before its end`(channels: Int) throws {
        let job = MemoryJob(Self.slices(bad: 7), channels: channels) { $0.errorLimit.records = 6 }
        let error = #expect(throws: WalrelayError.self) { try job.runner.run() }
        #expect(error?.code == "job.dirty_records" && error?.exit == .refused)
        #expect(error?.message == "7 dirty records: more than errorLimit.record 6 allows")
        #expect(!job.events.contains("finish"))
    }

    @Test func `a reader's dirty records count as read and as failed`() throws {
        let job = MemoryJob([["a", "bad read 1", "b"]]) { $0.errorLimit.records = 1 }
        try job.runner.run()
        #expect(job.runner.progress.recordsRead == 3)
        #expect(job.runner.progress.dirtyRecords == 1)
        #expect(job.written == ["a", "b"])
    }

    @Test func `without a limit any number is taken`() throws {
        let job = MemoryJob(Self.slices(bad: 80), channels: 4)
        try job.runner.run()
        #expect(job.runner.progress.dirtyRecords == 80)
    }

    @Test(arguments: [(0.01, true), (0.009_9, false), (0, false), (1, true)])
    func `the share is looked at once all is read`(most: Double, passes: Bool) throws {
        // 80 of 8000.
        let job = MemoryJob(Self.slices(bad: 80), channels: 2) { $0.errorLimit.share = most }
        if passes {
            try job.runner.run()
            #expect(job.events.last == "finish")
        } else {
            let error = #expect(throws: WalrelayError.self) { try job.runner.run() }
            #expect(error?.code == "job.dirty_records")
            #expect(error?.message.hasPrefix("80 of 8000 records are dirty") == true)
            #expect(job.written.count == 7_920)
            #expect(!job.events.contains("finish"))
        }
    }

    @Test func `no records are no error for a share of zero`() throws {
        try MemoryJob([[]]) { $0.errorLimit.share = 0 }.runner.run()
    }

    @Test func `the file has every dirty record in full, the one too many included`() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("dirty.jsonl")
        try "left over from yesterday\n".write(toFile: path, atomically: true, encoding: .utf8)
        let long = "bad \"\\\u{1}\n\u{1F}€" + String(repeating: "x", count: 100_000)
        let job = MemoryJob([["bad 1", "bad read 2", long, "bad 4"]]) { job in
            job.errorLimit.records = 3
            job.dirtyRecordsFile = path
        }
        // The long value goes through COPY's text as it is here, so its own escapes are read.
        #expect(throws: WalrelayError.self) { try job.runner.run() }
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 4)
        for line in lines {
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
            let record = try #require(object as? [String: Any])
            #expect(Set(record.keys) == ["type", "message", "exception", "record"])
        }
        #expect(lines[0].hasPrefix(#"{"type":"reader","message":"bad read 2","exception":"","#))
    }

    @Test func `a file that cannot be made fails the job before anything is done`() throws {
        let job = MemoryJob([["a"]]) { $0.dirtyRecordsFile = "/nonexistent/dirty.jsonl" }
        let error = #expect(throws: WalrelayError.self) { try job.runner.run() }
        #expect(error?.code == "job.dirty_records_file" && error?.exit == .settings)
        #expect(job.events == [])
    }

    @Test func `a line of the file is JSON of what was refused`() throws {
        let record = DirtyRecord(
            side: .writer,
            sqlState: "22P02",
            reason: "invalid \"x\"",
            values: ["a\"\\\u{1}\n\u{1F}€😀", nil, ""]
        )
        let line = DirtyRecordsFile.line(record)
        #expect(line.last == UInt8(ascii: "\n"))
        let object = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
        #expect(object?["type"] as? String == "writer")
        #expect(object?["message"] as? String == record.reason)
        #expect(object?["exception"] as? String == "22P02")
        let values = try #require(object?["record"] as? [Any])
        #expect(values[0] as? String == record.values[0])
        #expect(values[1] is NSNull && values[2] as? String == "")
    }

    @Test func `a line of the log is brief, however large the record is`() {
        let value = String(repeating: "é", count: 1_000_000)
        let record = DirtyRecord(
            side: .writer,
            sqlState: "23505",
            reason: String(repeating: "r", count: 5_000),
            values: [nil] + Array(repeating: value, count: 1_000)
        )
        let line = DirtyRecords.line(record, number: 3)
        #expect(line.hasPrefix("dirty record 3, refused by the writer: rrr"))
        #expect(line.count < 900)
        #expect(line.contains("(SQLSTATE 23505): (NULL, 'é") && line.contains("2000000 bytes"))
        #expect(line.contains("1001 values in all"))
        let small = DirtyRecord(side: .reader, sqlState: "", reason: "no text", values: ["1"])
        #expect(
            DirtyRecords.line(small, number: 1)
                == "dirty record 1, refused by the reader: no text: ('1')"
        )
    }
}
