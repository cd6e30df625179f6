// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import BatchJobs
import Testing

@testable import Commands

@Suite struct BatchTextTests {
    private static func job(_ phase: JobProgress.Phase = .copying) -> JobProgress {
        var job = JobProgress()
        job.phase = phase
        job.channels = 2
        job.slices = 10
        job.estimatedRecords = 4_000_000
        job.recordsRead = 1_000_000
        job.bytesRead = 100 << 20
        job.recordsWritten = 990_000
        job.dirtyRecords = 7
        job.startedAt = 1_767_225_600_123
        job.elapsed = .milliseconds(12_345)
        job.copying = .seconds(10)
        job.reading = .milliseconds(1_250)
        job.writing = .seconds(18)
        return job
    }

    @Test func `the statistics are those that users of batch jobs know`() {
        var job = Self.job(.ended)
        job.endedAt = 1_767_225_612_468
        #expect(
            BatchText.statistics(job) == """
                start          2026-01-01T00:00:00.123Z
                end            2026-01-01T00:00:12.468Z
                seconds        12.345
                bytes/s        8493932 (8.1 MiB/s)
                records/s      81004
                total read     1000000
                total written  990000
                failed         7

                """
        )
        job.unmatchedRecords = 3
        #expect(BatchText.statistics(job).hasSuffix("failed         7\nnot found      3\n"))
        #expect(BatchText.statistics(JobProgress()).contains("records/s      0\n"))
    }

    @Test func `the bar has the share, the rate and the rest of the time`() {
        var job = Self.job()
        #expect(
            BatchProgressText.bar(job, recordsPerSecond: 81_004.5)
                == "copying [#####...............] 25 %, 1,000,000 records, 81,004/s, 7 dirty, "
                + "30 s left"
        )
        job.estimatedRecords = nil
        job.slices = 1
        job.dirtyRecords = 0
        #expect(
            BatchProgressText.bar(job, recordsPerSecond: 0) == "copying, 1,000,000 records"
        )
        #expect(BatchProgressText.bar(Self.job(.preparing), recordsPerSecond: 1) == "preparing")
    }

    @Test func `an estimate that was too low never says that all is done`() {
        var job = Self.job()
        job.estimatedRecords = 10
        #expect(job.share == 0.99)
        job.slicesRead = 10
        #expect(job.share == 1)
    }

    @Test func `a report has totals, speeds, errors, waits and the share`() {
        var job = Self.job()
        let line = BatchProgressText.report(
            job,
            recordsPerSecond: 50_000,
            bytesPerSecond: Double(5 << 20)
        )
        #expect(
            line == "1,000,000 records, 100 MiB, 50,000 records/s, 5 MiB/s, 7 dirty, "
                + "reading 1.2 s, writing 18.0 s, 25.0 %, 30 s left"
        )
        job.throttled = .milliseconds(2_500)
        let throttled = BatchProgressText.report(job, recordsPerSecond: 0, bytesPerSecond: 0)
        #expect(throttled.contains("0 records/s, 0 bytes/s") && throttled.contains("throttled 2.5"))
    }

    @Test func `a plan names both ends and what they would do`() {
        let plan = JobPlan(
            channels: 1,
            slices: 3,
            estimatedRecords: 1_200,
            source: ["COPY a", "COPY b\u{1B}[0m"],
            target: ["COPY c"]
        )
        #expect(
            BatchText.plan(plan) == """
                reader: 3 slices in 1 channel, about 1,200 records
                  COPY a
                  COPY b\\u{1b}[0m
                writer:
                  COPY c

                """
        )
    }

    @Test(arguments: [("a=b", "a", "b"), ("a=", "a", ""), ("a=b=c", "a", "b=c")])
    func `a parameter is a name and a value`(text: String, name: String, value: String) {
        let parameter = BatchParameter(argument: text)
        #expect(parameter?.name == name && parameter?.value == value)
    }

    @Test(arguments: ["", "a", "=b"])
    func `what has no name or no value is no parameter`(text: String) {
        #expect(BatchParameter(argument: text) == nil)
    }

    @Test func `a parameter that is given twice is wrong usage`() {
        #expect(throws: (any Error).self) {
            try BatchCommand.parse(["job.json", "-p", "a=1", "-p", "a=2"])
        }
        #expect(throws: Never.self) {
            try BatchCommand.parse(["job.json", "-p", "a=1", "-p", "b=2", "--dry-run"])
        }
    }
}
