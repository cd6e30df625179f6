// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ
import Testing

@testable import PostgresSink

struct TargetErrorsTests {
    private static func error(_ sqlState: String, _ kind: PostgresError.Kind) -> PostgresError {
        PostgresError(kind: kind, sqlState: sqlState, message: "words")
    }

    @Test(
        arguments: [
            ("40001", .server, "sink.conflict", .unreachable),
            ("25006", .server, "sink.unreachable", .unreachable),
            ("57014", .server, "sink.unreachable", .unreachable),
            ("57P01", .server, "sink.unreachable", .unreachable),
            ("", .connectionLost, "sink.unreachable", .unreachable),
            ("", .timeout, "sink.unreachable", .unreachable),
            ("57P03", .connect, "sink.unreachable", .unreachable),
            ("28P01", .connect, "sink.login_refused", .prerequisite),
            ("", .tls, "sink.tls", .prerequisite),
            ("", .parameters, "sink.parameters", .settings),
            ("", .interrupted, "stopped", .success),
            ("42501", .server, "sink.permission_denied", .prerequisite),
            ("42P01", .server, "sink.refused", .prerequisite),
        ] as [(String, PostgresError.Kind, String, ExitCode)]
    )
    func `errors of the target have a code, an exit and a way on`(
        sqlState: String,
        kind: PostgresError.Kind,
        code: String,
        exit: ExitCode
    ) {
        let found = TargetErrors.error(Self.error(sqlState, kind), while: "doing this")
        #expect(found.code == code)
        #expect(found.exit == exit)
        #expect(found.isTransient == (exit == .unreachable))
        #expect(found.message.hasPrefix("doing this: words"))
    }

    @Test func `only what depends on the row is blamed on it`() {
        for state in ["22001", "23505", "23514", "21000", "44000", "P0001", "54000"] {
            #expect(Self.error(state, .server).blamesRow, "\(state)")
        }
        for state in ["42P01", "42501", "42703", "55000", "XX000", "0A000", "40001", "54011"] {
            #expect(!Self.error(state, .server).blamesRow, "\(state)")
        }
        #expect(!Self.error("23505", .connectionLost).blamesRow)
    }

    @Test func `a refused row's error is bounded, whatever the row holds`() async throws {
        let long = String(repeating: "é", count: 2_000)
        let error = try await ApplyServer.run(
            "CREATE TABLE items (id text PRIMARY KEY, v text CHECK (length(v) < 9))"
        ) { target in
            var history = History(try target.table("items", key: ["id"]))
            history.insert([.text(long), .text(long)])
            return try target.failure(history)
        }
        let message = try #require(error).message
        #expect(error?.code == "sink.row_refused")
        #expect(message.contains("(id)=(" + String(repeating: "é", count: 64) + "…)"))
        #expect(message.count < 1_500)
    }
}
