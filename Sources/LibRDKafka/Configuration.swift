// SPDX-License-Identifier: Apache-2.0
//
// From property names and values to librdkafka's configuration. Errors name the property, never
// its value: librdkafka's own words on a wrong value quote it, and it may be a password.

#if Kafka
import CRDKafka

enum Configuration {
    /// A new `rd_kafka_conf_t` with `properties` set; throws `KafkaError` of kind `badProperty`.
    static func make(_ properties: [String: String]) throws(KafkaError) -> OpaquePointer {
        let configuration: OpaquePointer = rd_kafka_conf_new()
        do throws(KafkaError) {
            // In one order always, so that of several faults the same one is told each time.
            for (name, value) in properties.sorted(by: { $0.key < $1.key }) {
                try set(name, value, in: configuration)
            }
        } catch {
            rd_kafka_conf_destroy(configuration)
            throw error
        }
        return configuration
    }

    private static func set(
        _ name: String,
        _ value: String,
        in configuration: OpaquePointer
    ) throws(KafkaError) {
        // librdkafka reads C strings: what stands behind a NUL would be dropped silently.
        guard !name.utf8.contains(0), !value.utf8.contains(0) else {
            throw .badProperty(name, "it holds a NUL character")
        }
        var reason = [CChar](repeating: 0, count: 512)
        switch rd_kafka_conf_set(configuration, name, value, &reason, reason.count) {
        case RD_KAFKA_CONF_OK: return
        case RD_KAFKA_CONF_UNKNOWN: throw .badProperty(name, "librdkafka has no such property")
        default: throw .badProperty(name, safePart(of: text(in: reason)))
        }
    }

    /// Of librdkafka's words on a wrong value those that cannot hold it.
    private static func safePart(of text: String) -> String {
        if let match = text.firstMatch(of: #/allowed range (-?[0-9.e+]+\.\.-?[0-9e+]+)/#) {
            return "its value is outside the allowed range \(match.output.1)"
        }
        if let match = text.firstMatch(of: #/not supported in this build: (.*)/#) {
            return "this build of librdkafka does not support it: \(match.output.1)"
        }
        if text.contains("must be set through") { return "it is for programs only" }
        return text.contains("Expected bool") ? "its value is not true or false" : "invalid value"
    }

    /// The text in a buffer that a C function has filled.
    static func text(in buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension KafkaError {
    static func badProperty(_ name: String?, _ reason: String) -> KafkaError {
        var error = KafkaError(
            code: RD_KAFKA_RESP_ERR__INVALID_ARG.rawValue,
            text: name.map { "property \($0): \(reason)" } ?? reason,
            kind: .badProperty
        )
        error.property = name
        return error
    }

    /// The error of a configuration whose properties do not fit each other; librdkafka names them
    /// in backquotes.
    static func unfitProperties(_ text: String) -> KafkaError {
        var error = badProperty(nil, text)
        error.property = text.firstMatch(of: #/`([a-z.]+)`/#).map { String($0.output.1) }
        return error
    }
}
#endif
