// SPDX-License-Identifier: Apache-2.0
//
// One transaction that no buffer could hold passes through in bounded memory and arrives whole.
// WALRELAY_TEST_BIG_ROWS says how many rows it has, 2,000,000 unless said otherwise.
import Foundation
import Glibc
import Support
import Testing

/// glibc's memmem, which its headers show to GNU sources only.
private let memmem:
    (
        @convention(c) (UnsafeRawPointer, Int, UnsafeRawPointer, Int) -> UnsafeRawPointer?
    )? = dlsym(nil, "memmem").map {
        unsafeBitCast(
            $0,
            to: (@convention(c) (UnsafeRawPointer, Int, UnsafeRawPointer, Int)
                -> UnsafeRawPointer?).self
        )
    }

extension Acceptance {
    @Suite(.serialized)
    struct BigTransactionTests {
        /// What the rows of the transaction come to, without a parsed event for each of them.
        private struct Sums: Equatable {
            var rows = 0
            var ids = 0
            var squares = 0
            var orders = 0

            mutating func add(id: Int, order: Int) {
                rows += 1
                ids &+= id
                squares &+= id &* id
                orders &+= order
            }
        }

        @Test(.timeLimit(.minutes(15)))
        func `a transaction of millions of rows passes in bounded memory`() async throws {
            let rows = TestKnob.number("WALRELAY_TEST_BIG_ROWS") ?? 2_000_000
            let cluster = try await PostgresCluster.start(settings: ["max_wal_size": "4GB"])
            try cluster.psql("CREATE TABLE t (id int PRIMARY KEY)")
            let task = try RelayTask(cluster, rotate: "32MiB")
            let daemon = try task.start()
            try await task.waitForPhase("streaming", of: daemon)
            try cluster.psql("INSERT INTO t SELECT generate_series(1, \(rows))")
            try await daemon.until(.seconds(600), "all changes durable") {
                try await task.status("stream", "changes") == "\(rows)"
            }
            #expect(try await task.status("stream", "transactions") == "1")
            #expect(try await daemon.stop() == .code(0))
            #expect(MemoryBound.holds(daemon.peakResidentBytes, "a transaction of \(rows) rows"))
            let found = try await onThread { try Self.sums(task.events) }
            var expected = Sums()
            for id in 1...rows { expected.add(id: id, order: id) }
            #expect(found == expected)
            try await task.waitUntilNothingIsLeft()
        }

        @Test(.timeLimit(.minutes(5)))
        func `a kill within a large transaction leaves nothing of it`() async throws {
            let cluster = try await PostgresCluster.start()
            try cluster.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (0)")
            let task = try RelayTask(cluster, rotate: "1MiB")
            try await task.runUntilNow()
            let before = try task.checkpoint("position")
            try cluster.psql("INSERT INTO t SELECT generate_series(1, 100000)")
            let daemon = try task.start()
            let second = NDJSONReader(task.sinkDirectory, extent: .everything)
            try await daemon.until { try second.fileNames().count > 4 }
            daemon.kill(SIGKILL)
            try await daemon.wait()
            if try task.checkpoint("position") == before {
                #expect(try task.events.count() == 1)
            }
            try await task.runUntilNow()
            #expect(try await task.differences(["public.t": ["id"]]) == [])
        }

        /// Reads `{"id":N}` and the total order out of each line.
        private static func sums(_ reader: NDJSONReader) throws -> Sums {
            var sums = Sums()
            try reader.readLines { line, _ in
                guard let id = number(after: #""after":{"id":"#, in: line),
                    let order = number(after: #""total_order":"#, in: line)
                else { throw SupportError("no id or no order") }
                sums.add(id: id, order: order)
            }
            return sums
        }

        private static func number(
            after name: StaticString,
            in line: UnsafeRawBufferPointer
        ) -> Int? {
            guard let base = line.baseAddress,
                let found = memmem?(base, line.count, name.utf8Start, name.utf8CodeUnitCount)
            else { return nil }
            let digits = (found + name.utf8CodeUnitCount).assumingMemoryBound(to: CChar.self)
            return strtol(digits, nil, 10)
        }
    }
}
