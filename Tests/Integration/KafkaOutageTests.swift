// SPDX-License-Identifier: Apache-2.0
//
// A broker that goes, stands still or comes back while the application writes: the stream waits in
// bounded memory and nothing is lost or said twice. And who may write: a second daemon of the same
// task is none, and one that was fenced by a stranger says so.
import Foundation
import Support
import Testing

@Suite(
    .serialized,
    .enabled(if: KafkaBroker.isAvailable, Comment(rawValue: KafkaBroker.absence))
)
struct KafkaOutageTests {
    private static let keys = ["public.t": ["id"]]

    private static func makeTask(
        _ name: String,
        settings: [String: String] = [:],
        kafka: [String] = [],
        more: String = ""
    ) async throws -> KafkaTask {
        let cluster = try await PostgresCluster.start(settings: settings)
        try cluster.psql("CREATE TABLE t (id serial PRIMARY KEY, s text)")
        let broker = try await KafkaBroker.start()
        return try KafkaTask(
            cluster,
            broker,
            name: name,
            kafka: ["partitions: 3"] + kafka,
            more: more
        )
    }

    /// 80 MB of events, more than all buffers on the way hold.
    private static func writeMuch(_ task: KafkaTask) async throws {
        for _ in 0..<4 {
            try await task.sql(
                "INSERT INTO t (s) SELECT repeat('x', 4000) FROM generate_series(1, 4000)"
            )
        }
    }

    private static func judge(_ task: KafkaTask, _ daemon: DaemonProcess) async throws {
        try await task.waitUntilDurable(daemon, timeout: .seconds(120))
        #expect(try await daemon.stop() == .code(0))
        #expect(try await task.differences(keys) == [])
        #expect(
            MemoryBound.holds(
                daemon.peakResidentBytes,
                "\(task.prefix), a debug build",
                bytes: MemoryBound.kafkaBytes
            )
        )
        let position = try await task.checkpoint()?["position"] as? String
        #expect(try task.relay.slot("confirmed_flush_lsn") == position)
    }

    @Test(.timeLimit(.minutes(5)), arguments: TestKnob.isLong ? [true, false] : [true])
    func `a broker that is away for a while costs nothing but time`(
        isTransactional: Bool
    ) async throws {
        let task = try await Self.makeTask(
            isTransactional ? "away" : "away_plain",
            settings: SourcePatience.short,
            kafka: ["transactional: \(isTransactional)"]
        )
        let daemon = try await task.startStreaming()
        try await task.sql("INSERT INTO t (s) VALUES ('before')")
        try await task.waitUntilDurable(daemon)
        let walsender = try task.relay.makeSourcePatient()
        try await task.broker.stop()
        try await Self.writeMuch(task)
        try await task.relay.waitForReplies(to: walsender)
        #expect(daemon.status == nil)
        #expect(try task.relay.slot("active_pid") == walsender)
        try await task.broker.start()
        try await Self.judge(task, daemon)
    }

    @Test(.timeLimit(.minutes(5)))
    func `a broker that stands still is waited for`() async throws {
        let task = try await Self.makeTask("still", settings: SourcePatience.short)
        let daemon = try await task.startStreaming()
        let walsender = try task.relay.makeSourcePatient()
        try await task.sql("INSERT INTO t (s) VALUES ('before')")
        try await task.waitUntilDurable(daemon)
        task.broker.suspend()
        try await Self.writeMuch(task)
        try await task.relay.waitForReplies(to: walsender)
        #expect(daemon.status == nil)
        #expect(try task.relay.slot("active_pid") == walsender)
        task.broker.resume()
        try await Self.judge(task, daemon)
    }

    @Test(.timeLimit(.minutes(2)))
    func `a stop does not wait for a broker that is away`() async throws {
        let task = try await Self.makeTask("stopped")
        let daemon = try await task.startStreaming()
        try await task.sql("INSERT INTO t (s) VALUES ('before')")
        try await task.waitUntilDurable(daemon)
        try await task.broker.stop()
        try await task.sql("INSERT INTO t (s) SELECT 'after' FROM generate_series(1, 1000)")
        try await Task.sleep(for: .seconds(1))
        #expect(try await daemon.stop(.seconds(30)) == .code(0))
        try await task.broker.start()
        try await task.runUntilNow()
        #expect(try await task.differences(Self.keys) == [])
    }

    @Test(.timeLimit(.minutes(2)))
    func `a second daemon does not disturb the first one`() async throws {
        let task = try await Self.makeTask("twice", more: "retry: { for: 2s }")
        let daemon = try await task.startStreaming()
        try await task.sql("INSERT INTO t (s) VALUES ('before')")
        try await task.waitUntilDurable(daemon)
        let second = try DaemonProcess(
            ["run", "--config", try task.secondSettings(), "--until", "now"]
        )
        let load = WritingClient(task.relay.cluster, seconds: 4, perSecond: 50) { number in
            "INSERT INTO t (s) VALUES ('load \(number)');"
        }
        let status = try await second.wait()
        #expect(status != .code(0), "\(second.stderr)")
        #expect(second.stderr.contains("task.in_use"), "\(second.stderr)")
        try await load.wait(.seconds(30))
        #expect(daemon.status == nil)
        try await Self.judge(task, daemon)
        #expect(!daemon.stderr.lowercased().contains("fenced"))
    }

    @Test(.timeLimit(.minutes(2)))
    func `a producer that takes the transactional id fences the daemon`() async throws {
        let task = try await Self.makeTask("fenced")
        let daemon = try await task.startStreaming()
        try await task.sql("INSERT INTO t (s) VALUES ('before')")
        try await task.waitUntilDurable(daemon)
        try task.broker.python(
            """
            producer = confluent_kafka.Producer({
                'bootstrap.servers': broker, 'transactional.id': sys.argv[1]})
            producer.init_transactions()
            """,
            ["fenced.walrelay-fenced"]
        )
        try await task.sql("INSERT INTO t (s) VALUES ('after')")
        #expect(try await daemon.wait() == .code(75), "\(daemon.stderr)")
        #expect(daemon.stderr.contains("[sink.fenced]"), "\(daemon.stderr)")
        #expect(daemon.stderr.contains("fenced.walrelay-fenced"), "\(daemon.stderr)")
        // What its supervisor then does.
        try await task.runUntilNow()
        #expect(try await task.differences(Self.keys) == [])
    }
}

extension KafkaTask {
    /// The same settings for a daemon beside the first, which has the port for its status.
    fileprivate func secondSettings() throws -> String {
        let text = try String(contentsOfFile: relay.settingsPath, encoding: .utf8)
        let path = relay.settingsPath + ".second.yaml"
        try text.replacing("127.0.0.1:\(relay.port)", with: "off")
            .write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }
}
