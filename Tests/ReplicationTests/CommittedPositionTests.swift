// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ
import Replication
import Support
import Testing

@Suite struct CommittedPositionTests {
    @Test func `a commit that did not wait for the disk lies before the position`() async throws {
        let cluster = try await PostgresCluster.start()
        try await cluster.withConnection { connection in
            try connection.query(
                "CREATE TABLE public.committed_late (a int); SET synchronous_commit = off"
            )
            for number in 1...20 {
                try connection.query("INSERT INTO public.committed_late VALUES (\(number))")
                let end = try connection.query("SELECT pg_current_wal_insert_lsn()")
                let position = try CommittedPosition.now(on: connection, stop: StopSignal())
                let flushed = try connection.query("SELECT pg_current_wal_flush_lsn()")
                #expect(try position >= #require(LSN(end.text(0, 0))))
                #expect(try position <= #require(LSN(flushed.text(0, 0))))
            }
        }
    }

    @Test func `a transaction that stays open does not hold the position up`() async throws {
        let cluster = try await PostgresCluster.start()
        try await cluster.withConnection { connection in
            try connection.query("BEGIN; CREATE TABLE public.never_committed (a int)")
            let position = try CommittedPosition.now(on: connection, stop: StopSignal())
            #expect(position > .zero)
            try connection.query("ROLLBACK")
        }
    }
}
