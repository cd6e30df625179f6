// SPDX-License-Identifier: Apache-2.0

import LibPQ
import Support
import Testing

@Suite struct StartedStatementTests {
    @Test func `a statement and a COPY can be ended without waiting for the server`() async throws {
        let cluster = try await PostgresCluster.start(settings: ["fsync": "off"])
        try await onThread {
            let connection = try Connection.open(cluster.parameters())
            var isOpen = connection.isInTransaction
            #expect(!isOpen)
            try connection.query("BEGIN; CREATE TABLE public.t (id int PRIMARY KEY)")
            isOpen = connection.isInTransaction
            #expect(isOpen)
            try connection.query("COMMIT")

            try connection.prepare("add", "INSERT INTO public.t SELECT 1", types: [])
            try connection.startExecuting("add", StatementParameters())
            let added = try connection.finishExecuting().affectedRows
            #expect(added == 1)
            try connection.startExecuting("add", StatementParameters())
            let twice = #expect(throws: PostgresError.self) {
                _ = try connection.finishExecuting().affectedRows
            }
            #expect(twice?.sqlState == "23505")

            for (rows, taken) in [("2\n3\n", 2), ("4\nx\n", nil), ("5\n", 1)] as [(String, Int?)] {
                try connection.beginCopyIn("COPY public.t FROM STDIN")
                try Array(rows.utf8).withUnsafeBytes { try connection.copyIn($0) }
                try connection.startEndingCopyIn()
                do throws(PostgresError) {
                    #expect(try connection.finishCopy(within: .seconds(60)).affectedRows == taken)
                } catch {
                    #expect(error.sqlState == "22P02")
                    #expect(taken == nil)
                }
            }
            let begins = try connection.query("COPY public.t FROM STDIN").beginsCopy
            #expect(begins)
            connection.abandonCopyIn("no more of it")
            let result = try connection.query("SELECT count(*) FROM public.t")
            let (answers, count) = (!result.beginsCopy, result.text(0, 0))
            #expect(answers)
            #expect(count == "4")
        }
    }
}
