// SPDX-License-Identifier: Apache-2.0
//
// All that connects a sink to its cluster, from `open` to `close`: first a client that only asks
// and one that reads the checkpoint; with the first transaction a producer takes their place.

#if Kafka
import ChangeModel
import LibRDKafka
import Logging

/// What a link has done.
struct LinkCounts {
    var records: UInt64 = 0
    var bytes: UInt64 = 0
    var deadLetters: UInt64 = 0

    mutating func add(_ other: LinkCounts) {
        records += other.records
        bytes += other.bytes
        deadLetters += other.deadLetters
    }
}

/// The connections of one session.
final class KafkaLink {
    let properties: ClientProperties
    let errors: KafkaErrors
    let topics: Topics
    let sender: RecordSender
    /// The producer, from the first transaction on.
    private(set) var session: ProducerSession?
    private let task: String
    private let patience: Patience
    private let log: Logger
    private var questioner: Admin?
    private var hasOwnTopics = false

    /// How long an open transaction may hide the end of the checkpoints: a commit that is under
    /// way takes milliseconds.
    private static let settlingLimit: Duration = .seconds(3)
    /// How long reading the checkpoints may take.
    private static let readingLimit: Duration = .seconds(60)

    /// Connects to nothing yet.
    init(_ options: KafkaSinkOptions, patience: Patience, log: Logger) throws {
        properties = try ClientProperties(options)
        errors = KafkaErrors(options)
        topics = Topics(options, errors: errors, log: log)
        sender = RecordSender(options, errors: errors)
        task = options.task
        self.patience = patience
        self.log = log
    }

    /// A client that asks; the producer's own once there is one.
    func admin() throws -> Admin {
        if let session { return session.producer.admin }
        if let questioner { return questioner }
        let patience = patience
        let admin = try topics.attempt("starting librdkafka") { () throws(KafkaError) in
            try Admin(properties.plain, logger: log, keepWaiting: { patience.mayGoOn() })
        }
        questioner = admin
        return admin
    }

    /// Makes, before the first record, those topics beside the tables' that are missing: settings
    /// of today may ask for one that those of the task's beginning did not.
    func makeOwnTopics() throws {
        guard !hasOwnTopics else { return }
        let wanted = topics.ownTopics
        if !wanted.isEmpty { try topics.make(wanted, admin: try admin()) }
        hasOwnTopics = true
    }

    // MARK: - The checkpoint

    /// What the topic says of the task; blocks.
    func load(_ checkpoints: CheckpointLog) throws -> StoredCheckpoint? {
        // The cheapest question first: whoever may not ask it gets a clear answer.
        let admin = try admin()
        let found = try topics.attempt("asking for \(checkpoints.topic)") { () throws(KafkaError) in
            try topics.describe([topics.checkpointTopic], admin: admin).topics.first?.error
        }
        if found?.kind == .unknownTopic { return nil }
        if let found {
            throw errors.error(
                found,
                while: "asking for the checkpoint",
                on: .topic(checkpoints.topic)
            )
        }
        do {
            return try read(checkpoints, within: Self.settlingLimit)
        } catch let error as KafkaError where error.kind == .openTransaction {
            guard properties.transactionalID != nil else { throw translated(error) }
            log.notice(
                "ending the transaction that a former session left open",
                metadata: ["code": "sink.transaction_left"]
            )
            _ = try startSession()
        } catch let error as KafkaError where error.kind == .unreachable {
            log.info("reading the checkpoint takes long", metadata: ["code": "sink.reading"])
        }
        do {
            return try read(checkpoints, within: Self.readingLimit)
        } catch let error as KafkaError {
            throw translated(error)
        }
    }

    private func read(
        _ checkpoints: CheckpointLog,
        within limit: Duration
    ) throws -> StoredCheckpoint? {
        do {
            return try checkpoints.load(from: try tail(), within: limit)
        } catch let error as MalformedCheckpoint {
            throw errors.malformed(task, error.reason)
        } catch let error as KafkaError where error.kind == .interrupted {
            throw CancellationError()
        }
    }

    private func tail() throws -> TopicTail {
        let patience = patience
        return try topics.attempt("starting librdkafka") { () throws(KafkaError) in
            try TopicTail(properties.plain, logger: log, keepWaiting: { patience.mayGoOn() })
        }
    }

    private func translated(_ error: KafkaError) -> WalrelayError {
        errors.error(
            error,
            while: "reading the checkpoint",
            on: .topic(topics.names.checkpoint)
        )
    }

    // MARK: - The producer

    /// The producer, ready for a transaction; blocks the first time.
    ///
    /// Throws `sink.checkpoint_moved` where the topic does not say what `stored` is: somebody else
    /// has written to it since it was read.
    func writer(
        after stored: StoredCheckpoint?,
        _ checkpoints: CheckpointLog
    ) throws -> ProducerSession {
        if let session { return session }
        let session = try startSession()
        let newest: TailRecord?
        do {
            newest = try checkpoints.newest(in: try tail(), within: Self.readingLimit)
        } catch let error as KafkaError {
            self.session = nil
            if error.kind == .interrupted { throw CancellationError() }
            throw translated(error)
        }
        guard newest?.value == stored?.record else {
            self.session = nil
            throw errors.checkpointMoved(task)
        }
        return session
    }

    private func startSession() throws -> ProducerSession {
        let session = try ProducerSession(
            properties,
            batchLimit: topics.batchLimit,
            errors: errors,
            patience: patience,
            log: log
        )
        try session.prepare(topics: topics.knownNames)
        self.session = session
        questioner = nil
        return session
    }

    /// Throws away what was not committed; false where only a new link can go on.
    func abort() -> Bool {
        guard let session else { return true }
        return session.abort()
    }

    var counts: LinkCounts {
        LinkCounts(
            records: sender.recordsWritten,
            bytes: sender.bytesWritten,
            deadLetters: sender.deadLetters
        )
    }
}
#endif
