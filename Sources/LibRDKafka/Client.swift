// SPDX-License-Identifier: Apache-2.0
//
// One instance of librdkafka: its threads, its connections and the queue of events that they
// report on. Belongs to one thread. Whatever waits does so in slices, between which the events are
// served and the caller is asked whether to go on.

#if Kafka
import CRDKafka
import Dispatch
import Logging

/// The instance that a producer, an admin or a tail works with.
final class Client {
    /// Delivery failures kept until they are taken; of a whole queue that failed the first suffice.
    static let failureLimit = 64
    /// How much of a failed record's key is kept.
    static let keyLimit = 256
    /// Between two slices of a wait events are served and `keepWaiting` is asked.
    static let slice = Duration.milliseconds(100)

    let handle: OpaquePointer
    let redaction: Redaction
    let keepWaiting: () -> Bool
    private(set) var lastError: KafkaError?
    private(set) var statistics = ClientStatistics()
    var failures = DeliveryFailures()

    private let events: OpaquePointer
    private let logger: Logger
    private let silentProperties: Set<String>?

    /// Starts librdkafka; nothing is connected to yet when this returns.
    ///
    /// `defaults` stand where `properties` say nothing else. Of properties that have no effect only
    /// one client of several with the same ones need warn.
    init(
        _ type: rd_kafka_type_t,
        _ properties: [String: String],
        defaults: [String: String],
        warnsOfProperties: Bool,
        logger: Logger,
        keepWaiting: @escaping () -> Bool
    ) throws(KafkaError) {
        var all = ["log.queue": "true", "log.thread.name": "false"]
        all.merge(defaults) { _, given in given }
        all.merge(properties) { _, given in given }
        let redaction = Redaction(properties)
        let configuration = try Configuration.make(all)
        rd_kafka_conf_set_events(
            configuration,
            RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_STATS
        )
        var reason = [CChar](repeating: 0, count: 512)
        guard let handle = rd_kafka_new(type, configuration, &reason, reason.count) else {
            // On success the configuration is librdkafka's; otherwise it is still ours.
            rd_kafka_conf_destroy(configuration)
            throw .unfitProperties(redaction.clean(Configuration.text(in: reason)))
        }
        rd_kafka_set_log_queue(handle, nil)
        self.handle = handle
        self.events = rd_kafka_queue_get_main(handle)
        self.redaction = redaction
        self.logger = logger
        self.keepWaiting = keepWaiting
        silentProperties = warnsOfProperties ? Set(all.keys).subtracting(properties.keys) : nil
    }

    deinit {
        if rd_kafka_type(handle) == RD_KAFKA_PRODUCER {
            // Records that still wait would only make librdkafka complain; a broker that is gone
            // must not hold up the end either, so nothing is waited for here.
            let everything = RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT
            rd_kafka_purge(handle, everything | RD_KAFKA_PURGE_F_NON_BLOCKING)
        }
        while let event = rd_kafka_queue_poll(events, 0) { rd_kafka_event_destroy(event) }
        rd_kafka_queue_destroy(events)
        if !Self.destroy(handle) { logger.debug("librdkafka takes its time to end") }
    }

    /// Ends librdkafka's threads; blocks for 2 s at most and is false where they go on for longer.
    private static func destroy(_ handle: OpaquePointer) -> Bool {
        // A thread of librdkafka that looks up a host's name cannot be interrupted, and destroying
        // waits for it. The address is all that crosses to the thread that waits.
        let address = UInt(bitPattern: handle)
        let done = DispatchGroup()
        DispatchQueue.global().async(group: done) {
            guard let handle = OpaquePointer(bitPattern: address) else { return }
            rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
        }
        return done.wait(timeout: .now() + .seconds(2)) == .success
    }

    /// Serves what librdkafka's threads reported; waits for at most `limit` for the first event.
    func serve(_ limit: Duration = .zero) {
        var patience = limit.kafkaMilliseconds
        while let event = rd_kafka_queue_poll(events, patience) {
            take(event)
            rd_kafka_event_destroy(event)
            patience = 0
        }
    }

    /// Remembers an error as the last one of the connection and gives it back.
    @discardableResult
    func note(_ error: KafkaError) -> KafkaError {
        // "All brokers are down" says less than why the last of them is.
        let isVague =
            error.code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN.rawValue
            || error.code == RD_KAFKA_RESP_ERR__TIMED_OUT.rawValue
        if lastError == nil || !isVague { lastError = error }
        return error
    }

    /// Forgets the last error: the broker has answered since.
    func forgetLastError() { lastError = nil }

    /// Returns where it is worth to wait on: throws what the wait is ended by.
    ///
    /// Throws the connection's last error where the time is over or no time would help.
    func goOnWaiting(
        until deadline: ContinuousClock.Instant,
        _ action: String
    ) throws(KafkaError) {
        if let lastError, lastError.kind == .authentication { throw lastError }
        guard ContinuousClock.now < deadline else { throw outOfTime(action) }
        guard keepWaiting() else { throw .stopped }
    }

    /// A retriable error that says why there was no answer, where the connection said it.
    func outOfTime(_ action: String) -> KafkaError {
        var error = lastError ?? KafkaError(RD_KAFKA_RESP_ERR__TIMED_OUT)
        error.text = "\(action): no answer in time\(lastError.map { "; \($0.text)" } ?? "")"
        error.isRetriable = true
        return error
    }

    /// The error after which the instance is of no more use, if there was one.
    var fatalError: KafkaError? {
        var reason = [CChar](repeating: 0, count: 512)
        let code = rd_kafka_fatal_error(handle, &reason, reason.count)
        guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return nil }
        let text = redaction.clean(Configuration.text(in: reason))
        return KafkaError(code: code.rawValue, text: text, isFatal: true)
    }

    private func take(_ event: OpaquePointer) {
        switch rd_kafka_event_type(event) {
        case RD_KAFKA_EVENT_DR: takeDeliveries(event)
        case RD_KAFKA_EVENT_ERROR: takeError(event)
        case RD_KAFKA_EVENT_LOG: takeLog(event)
        case RD_KAFKA_EVENT_STATS:
            guard let text = rd_kafka_event_stats(event) else { return }
            statistics = ClientStatistics(json: text) ?? statistics
        default: return
        }
    }

    private func takeDeliveries(_ event: OpaquePointer) {
        while let message = rd_kafka_event_message_next(event) {
            let code = message.pointee.err
            switch code {
            case RD_KAFKA_RESP_ERR_NO_ERROR: continue
            // What an abort throws away has not failed.
            case RD_KAFKA_RESP_ERR__PURGE_QUEUE, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT: continue
            default: failures.add(DeliveryFailure(message.pointee))
            }
        }
    }

    private func takeError(_ event: OpaquePointer) {
        if rd_kafka_event_error_is_fatal(event) == 1, let fatalError {
            note(fatalError)
            return
        }
        let text = rd_kafka_event_error_string(event).map { String(cString: $0) } ?? ""
        note(KafkaError(connection: rd_kafka_event_error(event), redaction.clean(text)))
    }

    private func takeLog(_ event: OpaquePointer) {
        var facility: UnsafePointer<CChar>?
        var text: UnsafePointer<CChar>?
        var severity: Int32 = 0
        guard rd_kafka_event_log(event, &facility, &text, &severity) == 0, let facility, let text
        else { return }
        let level = Logger.Level(syslog: severity)
        guard level >= logger.logLevel else { return }
        let name = String(cString: facility)
        let line = redaction.clean(String(cString: text))
        guard name != "CONFWARN" || isOperators(line) else { return }
        // The same lines come at every attempt to reconnect: the log folds them by the code.
        logger.log(
            level: level,
            "librdkafka: \(line)",
            metadata: ["code": "librdkafka.\(name)"]
        )
    }

    /// Whether a warning is about a property that the operator gave, and for this client.
    private func isOperators(_ line: String) -> Bool {
        guard let silentProperties else { return false }
        return !silentProperties.contains { line.contains(" \($0) ") }
    }
}

extension Duration {
    /// Whole milliseconds, rounded up so that a short wait is not a busy loop.
    var kafkaMilliseconds: Int32 {
        let (seconds, attoseconds) = components
        guard seconds < 2_000_000 else { return Int32.max }
        let perMillisecond: Int64 = 1_000_000_000_000_000
        return Int32(
            clamping: max(0, seconds * 1000 + (attoseconds + perMillisecond - 1) / perMillisecond)
        )
    }
}
#endif
