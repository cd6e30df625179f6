// SPDX-License-Identifier: Apache-2.0
//
// The document of /status: its keys are a contract with monitoring outside this repository.

import Foundation
import Testing

@testable import Pipeline

@Suite struct TaskStatusTests {
    private func object(_ status: TaskStatus) throws -> [String: Any] {
        let data = try JSONEncoder().encode(status)
        return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    private func keys(_ value: Any?) throws -> Set<String> {
        Set(try #require(value as? [String: Any]).keys)
    }

    @Test func `every key is there, unknown values as null`() throws {
        var status = TaskStatus(task: "t", version: "v", sinkKind: "ndjson")
        status.snapshot.tables = [.init(table: "public.t")]
        let document = try object(status)
        #expect(
            Set(document.keys) == [
                "task", "phase", "version", "source", "snapshot", "stream", "sink", "certificates",
                "lastError", "standby", "warnings", "recentErrors", "startedAt", "uptimeSeconds",
            ]
        )
        #expect(
            try keys(document["source"]) == [
                "serverVersion", "systemIdentifier", "slot", "publication", "walLSN", "restartLSN",
                "confirmedFlushLSN", "lagBytes", "retainedBytes", "walStatus", "retention",
            ]
        )
        #expect(
            try keys(document["stream"]) == [
                "tables", "receivedLSN", "durableLSN", "changes", "transactions",
                "changesPerSecond", "lagMilliseconds",
            ]
        )
        #expect(try keys(document["snapshot"]) == ["tables", "rowsPerSecond", "secondsLeft"])
        let tables = try #require((document["snapshot"] as? [String: Any])?["tables"] as? [Any])
        #expect(
            try keys(tables.first) == [
                "table", "state", "rowsEstimated", "rowsCopied", "bytesCopied", "rowsPerSecond",
                "secondsLeft",
            ]
        )
        #expect(document["lastError"] is NSNull)
        #expect(document["certificates"] is NSNull)
        #expect((document["source"] as? [String: Any])?["walLSN"] is NSNull)
        #expect((document["stream"] as? [String: Any])?["lagMilliseconds"] is NSNull)
    }

    @Test func `the sink's details stand beside its kind`() throws {
        var status = TaskStatus(task: "t", version: "v", sinkKind: "ndjson")
        status.sink.details = ["file": "1.ndjson", "length": 42, "kind": "forged"]
        let sink = try #require(try object(status)["sink"] as? [String: Any])
        #expect(sink["kind"] as? String == "ndjson")
        #expect(sink["file"] as? String == "1.ndjson")
        #expect(sink["length"] as? Int == 42)
    }

    @Test func `a status survives the way to a client`() throws {
        var status = TaskStatus(task: "t", version: "v", sinkKind: "kafka")
        status.phase = .failed
        status.source.systemIdentifier = "7300000000000000001"
        status.snapshot.tables = [.init(table: "a.b", state: .done, rowsEstimated: 3)]
        status.stream.changesPerSecond = 12.5
        status.sink.details = ["topic": "x", "commits": 9]
        status.lastError = .init(code: "a.b", message: "m", hint: "", at: "now")
        status.recentErrors = [
            .init(.init(code: "a.b", message: "m", hint: "", at: "now"), firstAt: "then", count: 2)
        ]
        status.warnings = [.init(code: "c.d", text: "w", since: "long ago")]
        status.startedAt = "before"
        status.uptimeSeconds = 3
        status.certificates = [
            .init(server: .target, certificate: "server", subject: "CN=x", notAfterSeconds: 86_400)
        ]
        let data = try JSONEncoder().encode(status)
        #expect(try JSONDecoder().decode(TaskStatus.self, from: data) == status)
        #expect(status.certificates?.first?.notAfter == "1970-01-02T00:00:00.000Z")
    }

    @Test func `a client reads the status of a daemon of the first version`() throws {
        let status = TaskStatus(task: "t", version: "v", sinkKind: "kafka")
        var document = try object(status)
        for key in ["certificates", "warnings", "recentErrors", "startedAt", "uptimeSeconds"] {
            document[key] = nil
        }
        let data = try JSONSerialization.data(withJSONObject: document)
        #expect(try JSONDecoder().decode(TaskStatus.self, from: data) == status)
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
        ] as [(Int64, String)]
    )
    func `a moment is written as ISO 8601`(milliseconds: Int64, text: String) {
        #expect(UTCTimestamp(unixMilliseconds: milliseconds).description == text)
    }
}
