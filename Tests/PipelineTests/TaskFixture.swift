// SPDX-License-Identifier: Apache-2.0
//
// A task with a sink in memory against a cluster of its own.

import ChangeModel
import LibPQ
import Logging
import Pipeline
import Support
import Synchronization
import Testing

final class TaskFixture: Sendable {
    let cluster: PostgresCluster
    let store: MemoryStore
    let board = StatusBoard(task: "t", version: "0", sinkKind: "memory")
    let stop = StopSignal()
    let live: LiveOptions
    private let outcome = Mutex<Result<Void, any Error>?>(nil)

    /// A task that begins at once, on a thread of its own.
    init(
        _ cluster: PostgresCluster,
        _ store: MemoryStore,
        change: (inout TaskOptions) -> Void = { _ in }
    ) {
        self.cluster = cluster
        self.store = store
        var options = TaskOptions(
            task: "t",
            source: cluster.parameters,
            tables: TableSelection(include: [
                TableRule(pattern: TablePattern(schema: .exact("public"), name: .exact("t")))
            ])
        )
        options.snapshotWorkers = 2
        options.batchRows = 50
        options.batchDelay = .milliseconds(5)
        options.retryFor = .seconds(60)
        change(&options)
        live = LiveOptions(options)
        startThread(named: "task") { [self] in
            let result = Result { try run() }
            outcome.withLock { $0 = result }
        }
    }

    deinit { stop.request() }

    private func run() throws {
        let store = store
        let runner = TaskRunner(
            live: live,
            board: board,
            stop: stop,
            log: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            makeSink: { MemorySink(store, $0) }
        )
        try runner.run()
    }

    /// Waits for the end of the run and throws what it threw.
    func end() async throws {
        try await eventually("the run ends", timeout: .seconds(60)) {
            outcome.withLock { $0 } != nil
        }
        try outcome.withLock { $0 }?.get()
    }

    /// The error of a run that has to fail.
    func failure(sourceLocation: SourceLocation = #_sourceLocation) async throws -> WalrelayError {
        try await #require(throws: WalrelayError.self, sourceLocation: sourceLocation) {
            try await end()
        }
    }

    /// Runs until the present of the source, and ends well.
    static func runUntilNow(
        _ cluster: PostgresCluster,
        _ store: MemoryStore,
        change: (inout TaskOptions) -> Void = { _ in }
    ) async throws {
        let task = TaskFixture(cluster, store) { options in
            options.until = .now
            change(&options)
        }
        try await task.end()
        #expect(task.board.status.phase == .stopping)
        #expect(!store.isOpen)
        #expect(store.complaints.isEmpty)
    }
}

extension PostgresCluster {
    /// How the product connects.
    var parameters: ConnectionParameters {
        ConnectionParameters(keywords: [
            "host": host, "port": "\(port)", "dbname": "postgres", "user": superuser,
        ])
    }

    /// A cluster with a table `t` of so many rows.
    static func withTable(rows: Int) async throws -> PostgresCluster {
        let cluster = try await start()
        try cluster.psql(
            """
            CREATE TABLE t (id int PRIMARY KEY, v text);
            INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, \(rows)) g;
            """
        )
        return cluster
    }

    /// What the server was told is durable.
    var confirmed: LSN? {
        get throws {
            LSN(try psql("SELECT confirmed_flush_lsn FROM pg_replication_slots"))
        }
    }
}

extension WalrelayError {
    /// A fault that may mend itself.
    static let passing = WalrelayError(
        "sink.test",
        exit: .unreachable,
        "a passing fault",
        isTransient: true
    )
    /// A fault that nothing mends.
    static let lasting = WalrelayError("sink.test", exit: .refused, "a lasting fault")
}
