// SPDX-License-Identifier: Apache-2.0
//
// The transactions of a producer with a `transactional.id`. Each waiting call goes on in
// librdkafka's threads after a time-out and may be made again to wait on; until it is, librdkafka
// refuses every other one, an abort too. Who does not want to wait on needs a new producer.

#if Kafka
import CRDKafka

extension Producer {
    /// Takes over the transactional id: fences whoever had it and ends its open transaction.
    ///
    /// To be called once, before the first transaction. Blocks for at most `timeout`.
    public func initTransactions(timeout: Duration) throws(KafkaError) {
        try inSlices(timeout) { rd_kafka_init_transactions($0, $1) }
        client.forgetLastError()
    }

    /// Begins a transaction; asks no broker.
    public func beginTransaction() throws(KafkaError) {
        if let error = rd_kafka_begin_transaction(client.handle) {
            throw KafkaError(consuming: error, redaction: client.redaction)
        }
    }

    /// Delivers what was produced since the beginning and commits it.
    ///
    /// Blocks for at most `timeout`; throws a retriable `KafkaError` then, and the call may be made
    /// again. After an error that `requiresAbort` nothing of the transaction is visible; where it
    /// came from a record that the broker refused, the next transaction may fail in the same way
    /// once more, until its abort has given the producer a new epoch.
    public func commitTransaction(timeout: Duration) throws(KafkaError) {
        try inSlices(timeout) { rd_kafka_commit_transaction($0, $1) }
        client.forgetLastError()
    }

    /// Throws away what was produced since the beginning, also what was already sent.
    ///
    /// Blocks for at most `timeout`; throws a retriable `KafkaError` then, and the call may be made
    /// again.
    public func abortTransaction(timeout: Duration) throws(KafkaError) {
        try inSlices(timeout) { rd_kafka_abort_transaction($0, $1) }
    }

    private func inSlices(
        _ timeout: Duration,
        _ call: (OpaquePointer, Int32) -> OpaquePointer?
    ) throws(KafkaError) {
        let deadline = ContinuousClock.now + timeout
        while true {
            let began = ContinuousClock.now
            let slice = max(.milliseconds(1), min(deadline - began, Client.slice))
            let failure = call(client.handle, slice.kafkaMilliseconds)
            client.serve()
            guard let failure else { return }
            var error = client.note(KafkaError(consuming: failure, redaction: client.redaction))
            // Another call was given up in the middle: no time ends that, only making it again.
            if error.code == RD_KAFKA_RESP_ERR__CONFLICT.rawValue { error.isRetriable = false }
            guard error.isRetriable, ContinuousClock.now < deadline else { throw error }
            guard client.keepWaiting() else { throw .stopped }
            // An answer that comes at once and says "again" must not make this a busy loop.
            client.serve(max(.zero, .milliseconds(20) - (.now - began)))
        }
    }
}
#endif
