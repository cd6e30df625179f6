// SPDX-License-Identifier: Apache-2.0
//
// The samples of the format's documentation, in Jobs/, as they are printed there: comments behind
// values, commas behind last entries, numbers as texts. Only what they leave open is filled in.

import ChangeModel
import Settings
import Testing

@Suite struct JobSamples {
    private func load(_ name: String) throws -> Job {
        try Job.load(path: jobFixture(name), parameters: [:])
    }

    private func expectSetting(_ job: Job) {
        #expect(job.errorLimit.records == 0)
        #expect(job.errorLimit.share == nil)
        #expect(job.speed.channels == 1)
        #expect(job.speed.bytesPerSecond == 12 << 20)
        #expect(job.speed.recordsPerSecond == nil)
        #expect(job.dirtyRecordsFile == nil)
    }

    @Test func `the reader's sample reads a table and throws its rows away`() throws {
        let job = try load("reader.json")
        expectSetting(job)
        #expect(job.warnings == [])
        guard case .postgresql(let reader) = job.reader, case .stream(let writer) = job.writer
        else {
            Issue.record("other steps than the sample's")
            return
        }
        #expect(reader.server == .datasource("source"))
        #expect(
            reader.content
                == .tables(.init(names: ["public.wpw_test"], columns: ["col1", "col2"]))
        )
        #expect(reader.fetchSize == nil)
        #expect(!writer.prints)
    }

    @Test func `the writer's sample inserts, and its reader makes no rows`() throws {
        let job = try load("writer.json")
        expectSetting(job)
        #expect(
            job.warnings == ["line 7: steps[0].parameter has no column: the step makes no rows"]
        )
        guard case .stream(let reader) = job.reader, case .postgresql(let writer) = job.writer
        else {
            Issue.record("other steps than the sample's")
            return
        }
        #expect(reader.columns == [])
        #expect(reader.rowsPerChannel == 0)
        #expect(writer.server == .datasource("target"))
        #expect(writer.table == "public.wpw_test")
        #expect(writer.columns == ["col1", "col2"])
        #expect(writer.mode == .insert)
        #expect(writer.preSQL == [] && writer.postSQL == [])
        #expect(writer.batchRows == nil && writer.batchBytes == nil)
        #expect(writer.types == [:])
    }

    @Test func `the sample of types is a job of DataX's shape, its writer without a name`() throws {
        let job = try load("pgtype.json")
        #expect(job.errorLimit.records == nil)
        #expect(job.errorLimit.share == nil)
        #expect(job.speed.channels == 1)
        #expect(
            job.warnings == [
                "line 17: job.content[0].writer.name is missing, taken for postgresql"
            ]
        )
        guard case .postgresql(let writer) = job.writer else {
            Issue.record("another writer than the sample's")
            return
        }
        #expect(
            writer.columns == ["bigint_arr", "double_arr", "text_arr", "jsonb_obj", "json_obj"]
        )
        #expect(
            writer.types == [
                "bigint_arr": "bigint[]", "double_arr": "double[]", "text_arr": "text[]",
                "jsonb_obj": "jsonb", "json_obj": "json",
            ]
        )
    }

    @Test func `the sample of escapes keeps the quotes of a name`() throws {
        let job = try load("escape.json")
        guard case .postgresql(let reader) = job.reader, case .stream(let writer) = job.writer
        else {
            Issue.record("other steps than the sample's")
            return
        }
        var tables = Job.PostgreSQLReader.Tables(
            names: ["public.wpw_test"],
            columns: ["id", "\"123Test\""]
        )
        tables.splitKey = "id"
        #expect(reader.server == .datasource("abc"))
        #expect(reader.content == .tables(tables))
        #expect(writer.prints)
        #expect(writer.delimiter == "\t")
    }
}
