// SPDX-License-Identifier: Apache-2.0
//
// What librdkafka says went wrong, by its own name and text, and sorted by who has to mend it.

#if Kafka
import CRDKafka

/// An error of librdkafka or of a broker.
public struct KafkaError: Error, Sendable, Equatable {
    /// Errors by what mends them.
    public enum Kind: Sendable, Equatable {
        /// The broker knows who we are and does not allow it.
        case authorization
        /// The broker does not accept who we say we are, or how we say it (SASL).
        case authentication
        /// The two sides cannot agree on TLS, or one does not trust the other's certificate.
        case tls
        /// No such topic or partition.
        case unknownTopic
        /// No broker can be reached, or none answered in time; may mend itself.
        case unreachable
        /// Something listens there that does not speak Kafka's protocol, or speaks TLS where we do not.
        case wrongProtocol
        /// Another producer has taken over the transactional id.
        case fenced
        /// A record is larger than the client or the broker takes.
        case tooLarge
        /// librdkafka does not take a property or its value.
        case badProperty
        /// The broker is too old for it, or does not offer it.
        case unsupported
        /// Somebody else's open transaction hides records that have to be read.
        case openTransaction
        /// The caller asked to stop while something was waited for.
        case interrupted
        /// Anything else.
        case other
    }

    /// `rd_kafka_resp_err_t` as a number: negative ones are librdkafka's own.
    public var code: Int32
    /// librdkafka's description of this occurrence; never holds a property's value.
    public var text: String
    /// What has to be mended.
    public var kind: Kind
    /// The property at fault, where `kind` is `badProperty` and librdkafka says which.
    public var property: String?
    /// The producer is of no more use: only a new one can go on.
    public var isFatal: Bool
    /// The same call may succeed when it is made again.
    public var isRetriable: Bool
    /// The transaction cannot be committed; it has to be aborted and its records sent again.
    public var requiresAbort: Bool

    /// Creates an error; the kind is what the code usually means.
    public init(
        code: Int32,
        text: String,
        kind: Kind? = nil,
        isFatal: Bool = false,
        isRetriable: Bool = false,
        requiresAbort: Bool = false
    ) {
        self.code = code
        self.text = text
        self.kind = kind ?? Self.kind(of: rd_kafka_resp_err_t(rawValue: code))
        self.isFatal = isFatal
        self.isRetriable = isRetriable
        self.requiresAbort = requiresAbort
    }

    /// librdkafka's stable name of the code, such as `TOPIC_AUTHORIZATION_FAILED`.
    public var name: String {
        String(cString: rd_kafka_err2name(rd_kafka_resp_err_t(rawValue: code)))
    }

    private static func kind(of code: rd_kafka_resp_err_t) -> Kind {
        switch code {
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_DELEGATION_TOKEN_AUTHORIZATION_FAILED:
            .authorization
        case RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
            RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
            .authentication
        case RD_KAFKA_RESP_ERR__SSL: .tls
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
            RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
            .unknownTopic
        case RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
            RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
            .fenced
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
            .tooLarge
        case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
            .unsupported
        default: waitsForBroker(code) ? .unreachable : .other
        }
    }

    private static func waitsForBroker(_ code: rd_kafka_resp_err_t) -> Bool {
        switch code {
        case RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__RESOLVE,
            RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__TIMED_OUT,
            RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
            RD_KAFKA_RESP_ERR__WAIT_COORD, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
            RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
            RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
            RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            RD_KAFKA_RESP_ERR_NOT_CONTROLLER, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS:
            true
        default: false
        }
    }
}

extension KafkaError: CustomStringConvertible {
    /// The text and the code's name: `Connection refused (_TRANSPORT)`.
    public var description: String { text.contains(name) ? text : "\(text) (\(name))" }
}

extension KafkaError {
    /// The error of a call that gives only a code.
    init(_ code: rd_kafka_resp_err_t, while action: String? = nil) {
        let text = String(cString: rd_kafka_err2str(code))
        self.init(code: code.rawValue, text: action.map { "\($0): \(text)" } ?? text)
        isRetriable = kind == .unreachable
    }

    /// The error of a connection, in words that lead to what is wrong.
    ///
    /// librdkafka takes the first bytes of another protocol for a length and advises to allow more
    /// of them; and of a handshake that the other side broke off it says only that.
    init(connection code: rd_kafka_resp_err_t, _ text: String) {
        self.init(code: code.rawValue, text: text)
        if let range = text.firstRange(of: "Invalid response size") {
            kind = .wrongProtocol
            isRetriable = true
            self.text =
                "\(text[..<range.lowerBound])no answer of a Kafka broker: is it a Kafka port,"
                + " and does security.protocol say whether it speaks TLS?"
        } else if text.contains("state SSL_HANDSHAKE"), kind == .unreachable {
            self.text += ": does the port speak TLS?"
        }
    }

    /// The error of a call that gives an error object; frees it.
    init(consuming error: OpaquePointer, redaction: Redaction) {
        self.init(
            code: rd_kafka_error_code(error).rawValue,
            text: redaction.clean(String(cString: rd_kafka_error_string(error))),
            isFatal: rd_kafka_error_is_fatal(error) == 1,
            isRetriable: rd_kafka_error_is_retriable(error) == 1,
            requiresAbort: rd_kafka_error_txn_requires_abort(error) == 1
        )
        rd_kafka_error_destroy(error)
    }

    static let stopped = KafkaError(
        code: RD_KAFKA_RESP_ERR__INTR.rawValue,
        text: "stopped while waiting",
        kind: .interrupted
    )
}
#endif
