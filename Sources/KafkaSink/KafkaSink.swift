// SPDX-License-Identifier: Apache-2.0
//
// Topics of a Kafka cluster. A Kafka transaction of the sink:
//
//   begin → tail of the last batch → records of changes → checkpoint's record → commit
//
// It holds whole transactions of the source, one or many, and the checkpoint that says so: who
// reads committed records sees them once, whatever was killed when. Only a source transaction that
// lasts longer than a broker waits is committed in parts: then the checkpoint says how far it is
// (`partial`), and a replay leaves out what is there. Without Kafka transactions the records are
// delivered first and the checkpoint after them: then some come again after a crash.

#if Kafka
public import ChangeModel
import LibRDKafka
public import Logging
public import Sink

/// A sink that writes Debezium's change events to the topics of a Kafka cluster.
///
/// Not `Sendable`: it belongs to the thread that drives it. Every method may block on the brokers.
public final class KafkaSink: Sink {
    let options: KafkaSinkOptions
    let names: TopicNames
    let errors: KafkaErrors
    let patience: Patience
    let log: Logger
    /// What the brokers are asked and written with; `nil` while the sink is closed.
    var link: KafkaLink?
    /// The checkpoint that the topic holds.
    var stored: StoredCheckpoint?
    var checkpoints: CheckpointLog
    /// Over how many partitions the keys of each topic are spread.
    var partitions: [String: Int] = [:]
    /// Changes of a transaction that goes on, which came with the end of an earlier one.
    private var tail = ChangeBatch()
    /// Up to where the changes that come are in the topics already.
    var skip: PartialTransaction?
    /// The last change that was written and is not committed; `nil` for a row of a snapshot.
    var lastWritten: PartialTransaction?
    /// Of how many changes with its position that change is the last.
    var run = PositionRun()
    var marks: TransactionMarks?
    var heartbeat: Heartbeat?
    private var commits: UInt64 = 0
    /// What links that are closed have done.
    private var former = LinkCounts()

    /// A closed sink; touches nothing yet.
    public convenience init(
        _ options: KafkaSinkOptions,
        supervisor: any SinkSupervisor,
        logger: Logger = Logger(label: "walrelay.sink.kafka")
    ) {
        self.init(options, patience: Patience(supervisor), logger: logger)
    }

    init(_ options: KafkaSinkOptions, patience: Patience, logger: Logger) {
        self.options = options
        self.patience = patience
        log = logger
        errors = KafkaErrors(options)
        names = errors.names
        checkpoints = CheckpointLog(task: options.task, topic: names.checkpoint)
    }

    /// True: a snapshot is committed in parts, as the brokers keep no transaction open that long.
    public var showsUnfinishedSnapshots: Bool { true }

    /// Where the transaction commits of which a part is in the topics.
    public var partCommit: LSN? { stored?.partial?.commitLSN }

    /// Connects and reads the task's checkpoint; changes nothing and fences nobody.
    ///
    /// One exception: where the last record of a producer that died hides what is behind it, its
    /// transaction is ended. Throws `sink.unreachable`, `sink.login_refused`, `sink.tls_failed`,
    /// `sink.unauthorized`, `sink.property_refused`, `sink.property_malformed` and
    /// `sink.checkpoint_malformed`.
    public func open() throws -> Checkpoint? {
        guard link == nil else { throw KafkaErrors.callOrder("was opened twice") }
        let link = try KafkaLink(options, patience: patience, log: log)
        stored = try link.load(checkpoints)
        self.link = link
        let encoder = MetadataRecordEncoder(
            serverName: options.topicPrefix,
            schemas: options.schemas
        )
        marks = options.transactionTopic ? TransactionMarks(encoder) : nil
        heartbeat = options.heartbeats.map { Heartbeat(every: $0, encoder) }
        forget()
        return stored?.checkpoint
    }

    /// Holds the topics that the tables need against those that are there; changes nothing.
    ///
    /// Throws `sink.topics_unfit`, which lists all that is to be mended.
    public func inspect(_ relations: [Relation], types: [TypeEntry]) throws {
        let link = try usable()
        try Topics.refuse(link.topics.findings(relations, admin: link.admin()))
    }

    /// Makes the checkpoint's topic where it is missing, and a `.running` checkpoint durable.
    public func beginSnapshot(_ checkpoint: Checkpoint) throws {
        let link = try usable()
        try rollback()
        try link.topics.make([link.topics.checkpointTopic], admin: link.admin())
        // Nothing is to be left out of what comes now, unless it goes on from the same place.
        if stored?.checkpoint.position != checkpoint.position { skip = nil }
        try commit(checkpoint)
    }

    /// Makes the topics that are missing.
    public func prepare(_ relations: [Relation], types: [TypeEntry]) throws {
        let link = try usable()
        try link.topics.make(link.topics.needed(for: relations), admin: link.admin())
        for relation in relations { remember(link.topics.tableTopic(relation).name, link) }
    }

    /// Hands over what belongs to transactions that end in the batch, and keeps the rest.
    ///
    /// A batch in which no transaction ends is handed over whole: what it belongs to is as long as
    /// that.
    public func write(_ batch: borrowing ChangeBatch) throws {
        // The commit that the tail had to wait for is over.
        if !tail.changes.isEmpty { try writeTail() }
        let end = batch.checkpoint == nil ? batch.changes.count : batch.committedCount
        if end > 0 { try deliver(batch, 0..<end) }
        if batch.checkpoint != nil { try markEnd() }
        if end < batch.changes.count { tail.replace(withTailOf: batch, from: end) }
    }

    private func writeTail() throws {
        var batch = ChangeBatch()
        swap(&batch, &tail)
        try deliver(batch, 0..<batch.changes.count)
        batch.removeAll()
        swap(&batch, &tail)
    }

    /// Commits the records and the checkpoint together, or the checkpoint after the records.
    public func commit(_ checkpoint: Checkpoint) throws {
        // What was to be left out must have come before the position passes it.
        if let partial = skip, checkpoint.position > partial.commitLSN {
            throw errors.ordinalsChanged(partial, "that transaction does not come")
        }
        try put(checkpoint, partial: skip)
        commits += 1
    }

    /// Hands rows over beside the changes of a transaction that may go on.
    public func writeCopied(_ batch: borrowing ChangeBatch) throws {
        try deliver(batch, 0..<batch.changes.count)
    }

    /// Commits what was handed over of a transaction that goes on, as a part of it: then rows that
    /// were copied stay, and a replay leaves that part out.
    public func dropUnfinished() throws {
        if let session = link?.session, session.since != nil { try commitPart() }
        forget()
    }

    /// Takes back whatever was handed over since the last commit.
    ///
    /// Without Kafka transactions some of it may have reached its topic.
    public func rollback() throws {
        forget()
        guard let link, !link.abort() else { return }
        former.add(link.counts)
        self.link = nil
        self.link = try KafkaLink(options, patience: patience, log: log)
    }

    /// Ends an open transaction and closes the connections.
    public func close() throws {
        forget()
        guard let link else { return }
        _ = link.abort()
        former.add(link.counts)
        self.link = nil
    }

    /// Ends the task in the cluster: its checkpoint goes, the topics stay.
    public func removeCheckpoint() throws {
        let link = try usable()
        try rollback()
        if let stored {
            let session = try begin(link)
            for record in checkpoints.removal(of: stored) {
                try link.sender.send(
                    key: record.key,
                    value: record.value,
                    to: names.checkpoint,
                    tag: stored.checkpoint.position,
                    by: session
                )
            }
            try session.commit()
        }
        stored = nil
        try close()
    }

    /// Commits, records and bytes since the sink was made; what librdkafka tells of the brokers.
    public var statistics: SinkStatistics {
        var counts = former
        if let link { counts.add(link.counts) }
        var statistics = SinkStatistics()
        statistics.commits = commits
        statistics.bytesWritten = counts.bytes
        statistics.details = [
            "topicPrefix": options.topicPrefix,
            "brokers": errors.brokers,
            "recordsWritten": "\(counts.records)",
            "deadLetters": "\(counts.deadLetters)",
        ]
        guard let link else { return statistics }
        statistics.details["transactionalId"] = link.properties.transactionalID
        guard let client = link.session?.producer.statistics else { return statistics }
        statistics.details["queueMessages"] = "\(client.queueMessages)"
        statistics.details["queueBytes"] = "\(client.queueBytes)"
        statistics.details["rttMicroseconds"] = "\(client.rttMicroseconds)"
        statistics.details["deliveryMicroseconds"] = "\(client.deliveryMicroseconds)"
        statistics.details["brokersUp"] = "\(client.brokersUp)"
        statistics.details["brokersKnown"] = "\(client.brokersKnown)"
        return statistics
    }

    // MARK: - The state between commits

    /// Goes back to what the last commit said.
    private func forget() {
        tail.removeAll()
        lastWritten = nil
        run = PositionRun()
        marks?.forget()
        heartbeat?.restart()
        skip = stored?.partial
        partitions = stored?.partitions ?? [:]
        checkpoints.resume(from: stored)
    }

    func usable() throws(WalrelayError) -> KafkaLink {
        guard let link else { throw KafkaErrors.callOrder("is not open") }
        return link
    }
}
#endif
