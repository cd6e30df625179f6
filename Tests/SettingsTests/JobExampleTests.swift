// SPDX-License-Identifier: Apache-2.0
//
// The examples in config/ load as they stand, fit together, and leave out no key.

import ChangeModel
import Foundation
import Settings
import Testing

@Suite struct JobExamples {
    @Test func `the example of a job holds every key of the two postgresql steps`() throws {
        let job = try Job.load(path: config("job.json"), parameters: ["bizdate": "2026-11-22"])
        #expect(job.warnings == [])
        guard case .postgresql(let reader) = job.reader,
            case .postgresql(let writer) = job.writer
        else { throw WrongKind() }
        var tables = Job.PostgreSQLReader.Tables(
            names: ["public.orders"],
            columns: ["id", "customer", "\"Total\"", "upper(status)", "'2026-11-22'"]
        )
        tables.condition =
            "changed_at >= date '2026-11-22' AND changed_at < date '2026-11-22' + 1"
        tables.splitKey = "id"
        #expect(reader.content == .tables(tables))
        #expect(reader.fetchSize == 512)
        #expect(writer.table == "sales.orders")
        #expect(writer.columns == ["id", "customer", "total", "status", "day"])
        #expect(writer.mode == .upsert)
        #expect(writer.uniqueKey == ["id"])
        #expect(writer.preSQL == ["DELETE FROM sales.orders WHERE day = '2026-11-22'"])
        #expect(writer.postSQL == ["ANALYZE sales.orders"])
        #expect(writer.batchRows == 1024)
        #expect(writer.batchBytes == 8 << 20)
        #expect(writer.types == ["total": "numeric(12,2)"])
        #expect(job.errorLimit.records == 100)
        #expect(job.errorLimit.share == 0.02)
        let directory = URL(fileURLWithPath: config("job.json")).deletingLastPathComponent().path
        #expect(job.dirtyRecordsFile == directory + "/orders.dirty")
        #expect(job.speed.channels == 4)
        #expect(job.speed.bytesPerSecond == 13_107_200)
        #expect(job.speed.recordsPerSecond == 50_000)
    }

    @Test func `the example of a job finds its datasources in the example of these`() throws {
        let job = try Job.load(path: config("job.json"), parameters: ["bizdate": "x"])
        let datasources = try Datasources.load(path: config("datasources.yaml"), environment: [:])
        #expect(datasources.warnings == [])
        #expect(datasources.connections.count == 2)
        guard case .postgresql(let reader) = job.reader,
            case .postgresql(let writer) = job.writer
        else { throw WrongKind() }
        let shop = try job.connection(of: reader.server, in: datasources)
        #expect(
            shop.target
                == .server(
                    hosts: ["db.example"],
                    ports: [5432],
                    database: "shop",
                    user: "reporting"
                )
        )
        #expect(shop.tls?.mode == .verifyFull)
        let warehouse = try job.connection(of: writer.server, in: datasources)
        guard case .conninfo = warehouse.target else { throw WrongKind() }
    }

    @Test func `the example of made up rows needs no datasource`() throws {
        let job = try Job.load(path: config("stream-job.json"), parameters: [:])
        #expect(job.warnings == [])
        #expect(job.datasourcePlaces == [:])
        guard case .stream(let reader) = job.reader, case .stream(let writer) = job.writer else {
            throw WrongKind()
        }
        #expect(
            reader.columns == [
                .init(kind: .long, value: .random(1...1_000_000)),
                .init(kind: .string, value: .random(4...12)),
                .init(kind: .double, value: .constant("0.5")),
                .init(kind: .bool, value: .random(1...3)),
                .init(kind: .date, value: .random(1_767_225_600_000...1_798_761_599_000)),
                .init(kind: .date, value: .constant("2026-11-22 00:00:00")),
                .init(kind: .bytes, value: .constant(nil)),
                .init(kind: .string, value: .constant("constant")),
            ]
        )
        #expect(reader.rowsPerChannel == 10)
        #expect(writer.prints)
        #expect(writer.delimiter == "\t")
        #expect(job.speed.channels == 1)
    }
}
