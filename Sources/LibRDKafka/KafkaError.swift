// SPDX-License-Identifier: Apache-2.0
//
// What librdkafka says went wrong, by its own name and text.

#if Kafka
import CRDKafka

/// An error of librdkafka or of a broker.
public struct KafkaError: Error, Sendable, Equatable {
    /// `rd_kafka_resp_err_t` as a number: negative ones are librdkafka's own.
    public var code: Int32
    /// librdkafka's description of this occurrence; never holds a property's value.
    public var text: String

    /// Creates an error.
    public init(code: Int32, text: String) {
        self.code = code
        self.text = text
    }
}
#endif
