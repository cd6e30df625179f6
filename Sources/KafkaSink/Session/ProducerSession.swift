// SPDX-License-Identifier: Apache-2.0
//
// One producer from its first transaction to its end.
//
//   new ──prepare──▶ idle ──begin──▶ open ──commit──▶ idle          transactional
//                     ▲               └────abort────▶ idle
//   new ──begin──▶ open ──flush──▶ open … ──commit──▶ idle          idempotent only
//
// Preparing takes the transactional id over, which fences whoever had it: that is done as late as
// it can be, so that a daemon which was started by mistake throws nobody out. An error leaves the
// session broken: what a producer has sent and what of it counts is then for a new one to find out.

#if Kafka
import ChangeModel
import LibRDKafka
import Logging

/// A producer and the transaction that it is in.
final class ProducerSession {
    let producer: Producer
    private let properties: ClientProperties
    private let errors: KafkaErrors
    private let patience: Patience
    private let log: Logger
    /// Since when records are taken that are not committed; `nil` between two commits.
    private(set) var since: ContinuousClock.Instant?
    private(set) var isPrepared: Bool
    private var isBroken = false

    /// How long a commit, or anything else that asks the coordinator, may take.
    private var limit: Duration { properties.transactionTimeout }
    private var isTransactional: Bool { properties.transactionalID != nil }

    init(
        _ properties: ClientProperties,
        batchLimit: Int?,
        errors: KafkaErrors,
        patience: Patience,
        log: Logger
    ) throws {
        self.properties = properties
        self.errors = errors
        self.patience = patience
        self.log = log
        isPrepared = properties.transactionalID == nil
        do throws(KafkaError) {
            producer = try Producer(
                properties.producer(batchLimit: batchLimit),
                logger: log,
                keepWaiting: { patience.mayGoOn() }
            )
        } catch {
            throw errors.error(error, while: "starting librdkafka", on: .cluster)
        }
        patience.reason = { [weak producer, errors] in
            producer.map {
                errors.error(
                    .notDelivered,
                    while: "writing",
                    on: .cluster,
                    lastWord: $0.lastError
                )
            }
        }
    }

    /// Takes the transactional id over and ends what its last owner left open; blocks.
    ///
    /// Asks the brokers for the topics first: a transaction that begins without knowing them waits
    /// a second for each.
    func prepare(topics: [String]) throws {
        guard !isPrepared else { return }
        try call("taking over the transactional id", on: .transactions) {
            () throws(KafkaError) in
            _ = try producer.admin.describe(topics: topics, timeout: limit)
            try producer.initTransactions(timeout: limit)
        }
        isPrepared = true
    }

    /// Begins a transaction unless one is open.
    func begin() throws {
        guard since == nil else { return }
        if isTransactional {
            try call("beginning a transaction", on: .transactions) { () throws(KafkaError) in
                try producer.beginTransaction()
            }
        }
        since = .now
    }

    /// How long the transaction has been open; zero where none is.
    var age: Duration { since.map { ContinuousClock.now - $0 } ?? .zero }

    /// Whether a broker may soon give the transaction up.
    ///
    /// Two thirds of its time are left for what has been produced to be delivered and committed.
    var isOld: Bool { isTransactional && age > properties.transactionTimeout / 3 }

    /// Waits until all that was produced is delivered; blocks.
    func flush() throws {
        let isDelivered = try call("delivering records", on: .cluster) { () throws(KafkaError) in
            try producer.flush(timeout: limit + .seconds(5))
        }
        try checkDeliveries()
        guard isDelivered else { throw undelivered() }
        // Of a producer that is of no more use what was thrown away counts as no failure.
        if let error = producer.fatalError {
            isBroken = true
            throw failure(error, "delivering records", .cluster)
        }
    }

    /// Makes all that was produced since `begin` durable, and visible as a whole; blocks.
    func commit() throws {
        if isTransactional {
            try call("committing a transaction", on: .transactions) { () throws(KafkaError) in
                try producer.commitTransaction(timeout: limit)
            }
        } else {
            try flush()
        }
        since = nil
    }

    /// Serves librdkafka's events and looks for what went wrong; waits for `limit` at most.
    func poll(_ limit: Duration = .zero) throws {
        producer.poll(limit)
        if let error = producer.fatalError {
            isBroken = true
            try checkDeliveries()
            throw failure(error, "writing", .transactions)
        }
        try checkDeliveries()
    }

    /// Waits a moment for room in the queue; notes since when that is waited for.
    ///
    /// Throws `CancellationError` after a stop.
    func waitForRoom(since waiting: inout ContinuousClock.Instant?) throws {
        let began = waiting ?? .now
        waiting = began
        try poll(.milliseconds(100))
        try patience.look()
        let patienceLeft = limit + .seconds(30)
        if isTransactional {
            if age > patienceLeft { throw gaveUp() }
        } else if ContinuousClock.now - began > patienceLeft {
            throw undelivered()
        }
    }

    /// Why a record is not taken of which librdkafka says only that its state does not allow it.
    func refusal(of error: KafkaError, _ what: String, _ object: KafkaObject) -> any Error {
        do {
            // A record that failed before says more; so does the transaction that has to be aborted
            // for it, which nothing can be committed of.
            try poll()
            if isTransactional, error.isOfState {
                try call(what, on: object) { () throws(KafkaError) in
                    try producer.commitTransaction(timeout: Self.abortLimit)
                }
            }
        } catch {
            return error
        }
        isBroken = true
        return errors.error(error, while: what, on: object)
    }

    private func undelivered() -> WalrelayError {
        isBroken = true
        return errors.error(
            .notDelivered,
            while: "delivering records",
            on: .cluster,
            lastWord: producer.lastError
        )
    }

    /// Throws away what was not committed; false where only a new session can go on.
    func abort() -> Bool {
        defer { since = nil }
        guard since != nil else { return !isBroken }
        // Without transactions what was produced cannot be called back.
        guard isTransactional, !isBroken, producer.fatalError == nil else { return false }
        do throws(KafkaError) {
            try producer.abortTransaction(timeout: Self.abortLimit)
            _ = producer.takeFailures()
            return true
        } catch {
            log.debug("aborting: \(error)")
            isBroken = true
            return false
        }
    }

    /// A new session ends the transaction too: it is not worth a long wait.
    private static let abortLimit: Duration = .seconds(5)

    // MARK: - What went wrong

    /// Throws for the first record that a broker did not take.
    private func checkDeliveries() throws {
        let failures = producer.takeFailures()
        guard let failure = failures.first.first else { return }
        isBroken = true
        // Of a producer that was thrown out every record fails, each in other words.
        if let fatal = producer.fatalError, fatal.kind == .fenced {
            throw self.failure(fatal, "writing", .transactions)
        }
        let what =
            "writing \(failures.count == 1 ? "a record" : "\(failures.count) records") to "
            + "\(failure.topic)"
        if failure.error.kind == .tooLarge { throw errors.refusedSize(failure) }
        if failure.error.name == "INVALID_RECORD" { throw errors.refusedRecord(failure) }
        throw self.failure(failure.error, what, .topic(failure.topic))
    }

    private func call<Result>(
        _ what: String,
        on object: KafkaObject,
        _ body: () throws(KafkaError) -> Result
    ) throws -> Result {
        do throws(KafkaError) {
            return try body()
        } catch {
            if error.kind == .interrupted {
                isBroken = true
                throw CancellationError()
            }
            // Of records that were not delivered more is known.
            try checkDeliveries()
            let verdict = verdict(after: error)
            isBroken = true
            throw failure(verdict, what, object)
        }
    }

    /// What ends a transaction that must be aborted may only show when it is: the broker that gave
    /// it up for its age says the same of it at first as of a successor's.
    private func verdict(after error: KafkaError) -> KafkaError {
        guard error.requiresAbort, since != nil else { return error }
        do throws(KafkaError) {
            try producer.abortTransaction(timeout: Self.abortLimit)
            since = nil
            guard error.kind == .fenced else { return error }
            return KafkaError(code: error.code, text: error.text, kind: .other)
        } catch {
            return error.isFatal || error.kind == .fenced ? error : producer.fatalError ?? error
        }
    }

    private func failure(
        _ error: KafkaError,
        _ what: String,
        _ object: KafkaObject
    ) -> WalrelayError {
        if error.kind == .fenced, age >= properties.transactionTimeout { return gaveUp() }
        return errors.error(error, while: what, on: object, lastWord: producer.lastError)
    }

    private func gaveUp() -> WalrelayError {
        isBroken = true
        return errors.timedOut(properties.transactionTimeout)
    }
}

extension KafkaError {
    /// RD_KAFKA_RESP_ERR__STATE: the producer is in no state for the call.
    fileprivate var isOfState: Bool { code == -172 }

    /// Records are still not delivered.
    fileprivate static let notDelivered = KafkaError(
        code: -192,
        text: "records were not delivered in time",
        kind: .unreachable,
        isRetriable: true
    )
}
#endif
