// SPDX-License-Identifier: Apache-2.0
//
// The reader against a real walsender, with a consumer that the test holds in its hand: what it
// does not make durable the server must not hear of.

import ChangeModel
import Glibc
import LibPQ
import Logging
import Replication
import Support
import Synchronization
import Testing

/// A table, a publication, a slot, and a reader on a thread of its own.
private final class Stream: Sendable {
    let cluster: PostgresCluster
    let queue = BatchQueue(capacity: 1)
    let position: StreamPosition
    let stop = StopSignal()
    private let outcome = Mutex<Result<StreamEnding, any Error>?>(nil)

    init(
        _ cluster: PostgresCluster,
        change: @Sendable (inout StreamOptions) -> Void = { _ in }
    ) throws {
        self.cluster = cluster
        let start = try Self.start(cluster)
        position = StreamPosition(start: start.position, wakeup: queue.consumerMoved)
        var options = StreamOptions(
            slot: "di_slot_t",
            publication: "di_pub_t",
            batchRows: 100,
            batchBytes: 1 << 20,
            batchDelay: .milliseconds(10),
            until: nil,
            statusInterval: .milliseconds(200)
        )
        options.idleAdvance = .milliseconds(50)
        change(&options)
        startThread(named: "reader") { [self, options] in
            let result = Result { try read(from: start, options) }
            outcome.withLock { $0 = result }
            queue.finish()
        }
    }

    deinit { stop.request() }

    private static func start(_ cluster: PostgresCluster) throws -> Checkpoint {
        try cluster.psql(
            """
            SELECT pg_create_logical_replication_slot('di_slot_t', 'pgoutput')
            WHERE NOT EXISTS (SELECT FROM pg_replication_slots);
            """
        )
        let connection = try Connection.open(cluster.parameters())
        let tables = try SourceCatalog.tables(TableSelection("public.t"), on: connection)
        let slot = try SlotState.named("di_slot_t", on: connection)
        return checkpoint(
            at: slot?.confirmedFlushLSN?.rawValue ?? 0,
            tables.map(\.relation)
        )
    }

    private func read(
        from start: Checkpoint,
        _ options: StreamOptions
    ) throws -> StreamEnding {
        var reader = try StreamReader(
            options: options,
            parameters: cluster.parameters(),
            assembler: BatchAssembler(
                checkpoint: start,
                policy: StreamPolicy(),
                types: TypeCatalog(),
                resolveTypes: { _ in [] }
            ),
            queue: queue,
            position: position,
            stop: stop,
            log: Logger(label: "test"),
            beat: {}
        )
        return try reader.run()
    }

    var ending: Result<StreamEnding, any Error>? { outcome.withLock { $0 } }

    /// Waits for the reader's end, with every batch made durable meanwhile.
    func drain() async throws -> (lines: [String], ending: StreamEnding) {
        var lines: [String] = []
        try await eventually("the reader ends", timeout: .seconds(60)) {
            while let batch = queue.next(within: .zero) {
                lines += batch.lines
                makeDurable(batch)
            }
            return ending != nil && queue.isDrained
        }
        return (lines, try #require(ending).get())
    }

    func makeDurable(_ batch: borrowing ChangeBatch) {
        if let checkpoint = batch.checkpoint { position.advanceDurable(to: checkpoint.position) }
    }

    /// The next batch with changes; what only moves the position is made durable.
    func nextChanges() async throws -> ChangeBatch {
        var found: ChangeBatch?
        try await eventually("a batch with changes") {
            while found == nil, let batch = queue.next(within: .zero) {
                if batch.changes.isEmpty { makeDurable(batch) } else { found = batch }
            }
            return found != nil
        }
        return try #require(found)
    }

    var confirmed: LSN {
        get throws {
            let text = try cluster.psql("SELECT confirmed_flush_lsn FROM pg_replication_slots")
            return try #require(LSN(text))
        }
    }

    var isActive: Bool {
        get throws { try cluster.psql("SELECT active FROM pg_replication_slots") == "t" }
    }
}

@Suite struct StreamReaderTests {
    private func cluster(
        _ version: PostgresVersion = .v15,
        settings: [String: String] = [:]
    ) async throws -> PostgresCluster {
        let cluster = try await PostgresCluster.start(version: version, settings: settings)
        try cluster.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, v text);
            CREATE PUBLICATION di_pub_t FOR TABLE t;
            """
        )
        return cluster
    }

    private func now(_ cluster: PostgresCluster) throws -> LSN {
        try #require(LSN(try cluster.psql("SELECT pg_current_wal_lsn()")))
    }

    @Test(arguments: PostgresCluster.availableVersions)
    func `until a position all that was committed before is handed over, and no more is awaited`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await cluster(version)
        try cluster.psql("SELECT pg_create_logical_replication_slot('di_slot_t', 'pgoutput')")
        try cluster.psql("INSERT INTO t SELECT g, 'x' FROM generate_series(1, 1050) g")
        try cluster.psql("UPDATE t SET id = -1 WHERE id = 1; DELETE FROM t WHERE id = 2;")
        let until = try now(cluster)
        try cluster.psql("INSERT INTO t VALUES (5000, 'later')")
        let primary = try await cluster.withConnection { try ServerFacts(on: $0).primary }
        #expect(primary?.timeline == 1)
        let stream = try Stream(cluster) { ($0.until, $0.primary) = (until, primary) }
        let (lines, ending) = try await stream.drain()
        #expect(ending == .reachedUntil)
        #expect(lines.count == 1_052, "and nothing that was committed later")
        #expect(lines.last?.hasSuffix("t delete (2,absent)") == true)
        #expect(lines[1_050].hasSuffix("t update (1,absent) (-1,x)"))
        #expect(stream.position.durable == until)
        // Confirmed, and the slot is free, when the reader has returned.
        #expect(try stream.confirmed == until)
        #expect(try !stream.isActive)
    }

    @Test func `until a position that lies in the past ends at once`() async throws {
        let cluster = try await cluster()
        let stream = try Stream(cluster) { $0.until = LSN(1) }
        let (lines, ending) = try await stream.drain()
        #expect(lines.isEmpty && ending == .reachedUntil)
    }

    @Test func `an idle slot moves on without writes to the source's tables`() async throws {
        let cluster = try await cluster()
        let stream = try Stream(cluster)
        try cluster.psql("CREATE TABLE elsewhere AS SELECT generate_series(1, 1000)")
        let target = try now(cluster)
        try await eventually("the slot passes what does not concern it") {
            while let batch = stream.queue.next(within: .zero) { stream.makeDurable(batch) }
            return try stream.confirmed >= target
        }
        stream.stop.request()
        #expect(try await stream.drain().ending == .stopped)
    }

    @Test func `the server hears of nothing that is not durable`() async throws {
        let cluster = try await cluster()
        let stream = try Stream(cluster)
        var last = stream.position.durable
        for round in 1...5 {
            try cluster.psql("INSERT INTO t VALUES (\(round), 'x')")
            let batch = try await stream.nextChanges()
            last = stream.position.durable
            // Written, not durable: several status intervals go by, as the server tells.
            let told = try cluster.psql("SELECT now()")
            try await eventually("the server was told something meanwhile") {
                try cluster.psql(
                    "SELECT reply_time > '\(told)'::timestamptz + interval '400 ms' "
                        + "FROM pg_stat_replication"
                ) == "t"
            }
            #expect(try stream.confirmed <= last)
            #expect(batch.checkpoint.map { $0.position > last } == true)
            stream.makeDurable(batch)
            let durable = stream.position.durable
            try await eventually("what is durable is confirmed") {
                try stream.confirmed == durable
            }
        }
        stream.stop.request()
        #expect(try await stream.drain().lines.isEmpty)
    }

    @Test func `the server is answered while the queue is full`() async throws {
        let cluster = try await cluster()
        let stream = try Stream(cluster) { $0.batchRows = 10 }
        try await eventually("it has the slot") { try stream.isActive }
        // More than the queue, libpq and the sockets hold.
        try cluster.psql(
            "INSERT INTO t SELECT g, repeat(md5(g::text), 60) FROM generate_series(1, 20000) g"
        )
        let until = try now(cluster)
        let pid = try cluster.psql("SELECT pid FROM pg_stat_replication")
        // The walsender waits for room in its socket: nobody reads, and still it hears of us.
        let times = "SELECT reply_time FROM pg_stat_replication JOIN pg_stat_activity USING (pid)"
        var replies: Set<String> = []
        try await eventually("several answers while the queue is full") {
            replies.insert(try cluster.psql(times + " WHERE wait_event = 'WalSenderWriteData'"))
            return replies.count > 6
        }
        #expect(try cluster.psql("SELECT pid FROM pg_stat_replication") == pid)
        #expect(stream.ending == nil)
        let rows = try await onThread {
            var rows = 0
            while stream.position.durable < until, !stream.queue.isDrained {
                guard let batch = stream.queue.next(within: .seconds(1)) else { continue }
                rows += batch.changes.count
                stream.makeDurable(batch)
            }
            return rows
        }
        #expect(rows == 20_000)
        stream.stop.request()
        _ = try await stream.drain()
    }

    @Test func `small batches and a slow sink keep no more here than large ones`() async throws {
        let cluster = try await cluster()
        let stream = try Stream(cluster) { $0.batchRows = 1 }
        // 60 MB, of which each batch takes 6 KB: less than libpq wants to have free.
        try cluster.psql(
            "INSERT INTO t SELECT g, repeat(md5(g::text), 190) FROM generate_series(1, 10000) g"
        )
        for _ in 0..<60 {
            let batch = try await stream.nextChanges()
            stream.makeDurable(batch)
        }
        let sent = try cluster.psql(
            "SELECT sent_lsn - '\(stream.position.durable)' FROM pg_stat_replication"
        )
        let bytes = try #require(Int(sent))
        #expect(bytes < 16 << 20, "what sockets hold, and one buffer of libpq")
        stream.stop.request()
    }

    @Test func `a server that falls silent is left, and one that idles is not`() async throws {
        let cluster = try await cluster()
        let isExplained = Mutex(true)
        let stream = try Stream(cluster) { options in
            options.silenceLimit = .seconds(2)
            options.isSilenceExplained = { isExplained.withLock(\.self) }
        }
        try await Task.sleep(for: .seconds(4))
        #expect(stream.ending == nil, "it was asked, and has answered")
        let pid = try #require(
            pid_t(try cluster.psql("SELECT pid FROM pg_stat_replication"))
        )
        kill(pid, SIGSTOP)
        defer { kill(pid, SIGCONT) }
        try await Task.sleep(for: .seconds(4))
        #expect(stream.ending == nil, "there is a reason")
        isExplained.withLock { $0 = false }
        let error = try await #require(throws: WalrelayError.self) {
            _ = try await stream.drain()
        }
        #expect(error.code == "source.silent" && error.isTransient)
    }

    @Test func `a stop brings what is whole to the sink and leaves the rest`() async throws {
        let cluster = try await cluster()
        let stream = try Stream(cluster) { $0.batchDelay = .seconds(3_600) }
        try cluster.psql("INSERT INTO t VALUES (1, 'x')")
        let target = try now(cluster)
        try await eventually("it has arrived") { stream.position.received >= target }
        stream.stop.request()
        let (lines, ending) = try await stream.drain()
        #expect(ending == .stopped)
        #expect(lines.count == 1, "the delay of an hour does not keep it back")
        #expect(try stream.confirmed == stream.position.durable)
        #expect(try !stream.isActive)
    }

    @Test func `a stop ends with a sink that does not move, within its bound`() async throws {
        let cluster = try await cluster()
        let stream = try Stream(cluster) { $0.drainLimit = .milliseconds(100) }
        let before = try stream.confirmed
        try cluster.psql("INSERT INTO t VALUES (1, 'x')")
        _ = try await stream.nextChanges()
        let durable = stream.position.durable
        stream.stop.request()
        try await eventually("the reader ends") { stream.ending != nil }
        #expect(try stream.confirmed <= max(before, durable))
    }

    @Test func `a refused change ends the stream after all that came before it`() async throws {
        let cluster = try await cluster()
        let stream = try Stream(cluster)
        try cluster.psql("INSERT INTO t VALUES (1, 'x')")
        try cluster.psql(
            """
            BEGIN; INSERT INTO t VALUES (2, 'y'); ALTER TABLE t DROP COLUMN v;
            INSERT INTO t VALUES (3); COMMIT;
            """
        )
        let error = try await #require(throws: WalrelayError.self) {
            _ = try await stream.drain()
        }
        #expect(error.exit == .refused)
        // The transaction at fault will be sent again, from its beginning.
        let stopped = try stream.confirmed
        let left = try cluster.psql(
            """
            SELECT count(*) FROM pg_logical_slot_peek_binary_changes('di_slot_t', NULL, NULL,
            'proto_version', '1', 'publication_names', 'di_pub_t') WHERE get_byte(data, 0) = 73
            """
        )
        #expect(left == "2", "from \(stopped)")
    }

    @Test func `a slot that somebody holds is worth a retry`() async throws {
        let cluster = try await cluster()
        let first = try Stream(cluster)
        try await eventually("the first has the slot") { try first.isActive }
        let second = try Stream(cluster)
        let error = try await #require(throws: WalrelayError.self) {
            _ = try await second.drain()
        }
        #expect(error.code == "slot.in_use" && error.isTransient)
        first.stop.request()
        #expect(try await first.drain().ending == .stopped)
    }

    @Test func `a server that was promoted since, or another one, is not read`() async throws {
        let cluster = try await cluster()
        let primary = try await cluster.withConnection { try ServerFacts(on: $0).primary }
        var former = try #require(primary)
        former.timeline += 1
        for other in [former, Primary(systemIdentifier: "1", timeline: 1)] {
            let stream = try Stream(cluster) { $0.primary = other }
            let error = try await #require(throws: WalrelayError.self) {
                _ = try await stream.drain()
            }
            #expect(error.code == "server.changed" && error.isTransient)
            let made = await #expect(throws: WalrelayError.self) {
                try await onThread {
                    _ = try SlotSnapshot.take(
                        slot: "di_slot_other",
                        slotExists: false,
                        on: other,
                        parameters: cluster.parameters(),
                        stop: StopSignal(),
                        log: Logger(label: "test")
                    )
                }
            }
            #expect(made?.code == "server.changed")
        }
        #expect(try cluster.psql("SELECT slot_name FROM pg_replication_slots") == "di_slot_t")
    }

    @Test func `the end of the server is an error that is worth a retry`() async throws {
        let cluster = try await cluster()
        let stream = try Stream(cluster)
        try await eventually("it has the slot") { try stream.isActive }
        try await onThread { try cluster.stop(mode: .immediate) }
        let error = try await #require(throws: PostgresError.self) {
            _ = try await stream.drain()
        }
        #expect(error.isTransient)
    }
}
