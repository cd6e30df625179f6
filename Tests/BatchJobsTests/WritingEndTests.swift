// SPDX-License-Identifier: Apache-2.0

import BatchJobs
import LibPQ
import Logging
import Settings
import Synchronization
import Testing

/// What is said of a batch that a stop meets on its way.
@Suite struct WritingEndTests {
    @Test(arguments: [Job.PostgreSQLWriter.Mode.copy, .insert, .update])
    func `a batch that was committed before the stop counts as written`(
        _ mode: Job.PostgreSQLWriter.Mode
    ) async throws {
        let definition = "CREATE TABLE t (id int PRIMARY KEY, v text)"
        try await WritingServer.run(definition) { target in
            if mode == .update {
                try target.rows("INSERT INTO t SELECT n, '' FROM generate_series(1, 5) AS n")
            }
            let key = mode == .update ? ["id"] : []
            let step = step("t", ["id", "v"], mode, key: key) { $0.batchRows = 3 }
            let (counters, stop) = (JobCounters(), StopSignal())
            let end = try PostgresTarget(
                step,
                server: target.parameters(),
                shape: RecordShape(
                    columns: ["id", "v"].map {
                        RecordColumn(name: $0, typeOID: 25, typeName: "text")
                    },
                    allowsBinary: false
                ),
                context: JobContext(
                    counters: counters,
                    report: { _ in },
                    stop: stop,
                    log: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
                )
            )
            try end.begin()
            let writer = try end.open()
            // The fourth record sends the first three off, the fifth is not sent at all.
            for id in 1...5 {
                try WritingFixture.record(["\(id)", "x"]).withUnsafeBytes { try writer.take($0) }
            }
            try target.wait(for: "3", from: "SELECT count(*) FROM t WHERE v = 'x'")
            stop.request()
            writer.abandon()
            #expect(counters.recordsWritten.load(ordering: .relaxed) == 3)
            #expect(try target.rows("SELECT count(*) FROM t WHERE v = 'x'") == "3")
        }
    }
}
