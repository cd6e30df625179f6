// SPDX-License-Identifier: Apache-2.0
//
// What keeps a comparison from being made, each with the exit code that the operator sees.

import ChangeModel
import LibPQ
import Replication
import Support
import Testing

@testable import Verify

@Suite struct VerifyErrorTests {
    private static let small = "CREATE TABLE a (id int PRIMARY KEY, v text)"

    private func failure(
        _ pair: Pair,
        change: @Sendable (inout VerifyOptions) -> Void = { _ in }
    ) async throws -> WalrelayError? {
        do {
            _ = try await pair.verify(change: change)
            return nil
        } catch let error as WalrelayError {
            return error
        }
    }

    @Test func `a checkpoint that is absent, unfinished or of another system`() async throws {
        let pair = try await Pair(Self.small)
        #expect(try await failure(pair)?.code == "verify.no_checkpoint")
        try pair.begin()
        try pair.target.psql("UPDATE walrelay.checkpoint SET snapshot = 'running'")
        let unfinished = try await failure(pair)
        #expect(unfinished?.code == "verify.snapshot_unfinished")
        #expect(unfinished?.exit == .prerequisite)
        try pair.target.psql(
            """
            UPDATE walrelay.checkpoint SET snapshot = 'complete', document = regexp_replace(
                document, '"systemIdentifier":"[0-9]+"', '"systemIdentifier":"1"')
            """
        )
        let other = try await failure(pair)
        #expect(other?.code == "checkpoint.other_system")
        #expect(other?.exit == .checkpointMismatch)
    }

    @Test func `a target that does not come to the source's position`() async throws {
        let pair = try await Pair(Self.small)
        try pair.begin()
        let error = try await failure(pair) { options in
            options.waitLimit = .milliseconds(200)
            options.catchUp = { _ in }
        }
        #expect(error?.code == "verify.target_behind")
        #expect(error?.exit == .unreachable)
        // The server drops a temporary slot once it has noticed that its session has ended.
        try await eventually("the temporary slot's end") {
            try pair.source.psql("SELECT count(*) FROM pg_replication_slots") == "1"
        }
    }

    @Test func `a slot that is gone, a table that the target lacks, a name that nobody knows`()
        async throws
    {
        let pair = try await Pair(Self.small)
        try pair.begin()
        let unknown = try await failure(pair) { options in
            options.only = [TablePattern(schema: .exact("public"), name: .exact("b"))]
        }
        #expect(unknown?.code == "verify.no_such_table")
        #expect(unknown?.exit == .usage)
        try pair.target.psql("ALTER TABLE a DROP COLUMN v")
        #expect(try await failure(pair)?.code == "verify.target_lacks")
        try pair.target.psql("DROP TABLE a")
        let lacking = try await failure(pair)
        #expect(lacking?.code == "verify.target_lacks")
        #expect(lacking?.exit == .refused)
        try pair.source.psql("SELECT pg_drop_replication_slot('di_slot_t')")
        let lost = try await failure(pair)
        #expect(lost?.code == "verify.no_slot")
        #expect(lost?.exit == .checkpointMismatch)
    }

    @Test func `a repair that the target refuses leaves nothing behind`() async throws {
        let pair = try await Pair(
            """
            CREATE TABLE a (id int PRIMARY KEY, v text);
            INSERT INTO a SELECT g, 'v' || g FROM generate_series(1, 100) g;
            """
        )
        try pair.begin()
        try pair.target.psql(
            """
            DELETE FROM a WHERE id IN (5, 50); UPDATE a SET v = '' WHERE id = 7;
            ALTER TABLE a ADD CHECK (v <> 'v50');
            """
        )
        let error = await #expect(throws: WalrelayError.self) {
            _ = try await pair.verify(repairs: true)
        }
        #expect(error?.code == "verify.repair_refused")
        #expect(error?.exit == .refused)
        #expect(error?.message.contains("a_v_check") == true)
        #expect(try pair.target.psql("SELECT count(*) FROM a WHERE v <> ''") == "97")
    }

    @Test func `a repair that takes too long is taken back`() async throws {
        let pair = try await Pair(
            """
            CREATE TABLE a (id int PRIMARY KEY, v text);
            INSERT INTO a SELECT g, 'v' || g FROM generate_series(1, 3000) g;
            """
        )
        try pair.begin()
        try pair.target.psql("DELETE FROM a")
        let error = await #expect(throws: WalrelayError.self) {
            _ = try await pair.verify(repairs: true) { $0.holdLimit = .milliseconds(3) }
        }
        #expect(error?.code == "verify.repair_slow")
        #expect(error?.exit == .unreachable)
        #expect(try pair.target.psql("SELECT count(*) FROM a") == "0")
        // One batch a round: each lets the task go on, and all of them mend it.
        let mended = try await pair.verify(repairs: true) { $0.holdTarget = .milliseconds(1) }
        #expect(mended.isEqual)
        #expect(try mended.table("a").mended?.inserted == 3_000)
    }

    @Test func `a role that may not silence triggers does not repair a table that has some`()
        async throws
    {
        let pair = try await Pair(
            """
            CREATE TABLE a (id int PRIMARY KEY, v text);
            CREATE TABLE b (id int PRIMARY KEY REFERENCES a ON DELETE CASCADE);
            INSERT INTO a VALUES (1, 'x'), (2, 'y'); INSERT INTO b VALUES (1);
            CREATE ROLE keeper LOGIN;
            """
        )
        try pair.begin()
        try pair.target.psql(
            """
            UPDATE a SET v = 'z' WHERE id = 1;
            GRANT ALL ON ALL TABLES IN SCHEMA public TO keeper;
            GRANT USAGE ON SCHEMA walrelay TO keeper;
            GRANT SELECT, UPDATE ON walrelay.checkpoint TO keeper;
            """
        )
        let error = await #expect(throws: WalrelayError.self) {
            _ = try await pair.verify(repairs: true) { $0.target.keywords["user"] = "keeper" }
        }
        #expect(error?.code == "verify.repair_triggers")
        #expect(try pair.target.psql("SELECT count(*) FROM b") == "1")
        #expect(try await pair.verify(repairs: true).isEqual)
        #expect(try pair.target.psql("SELECT count(*) FROM b") == "1")
    }
}
