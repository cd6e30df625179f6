// SPDX-License-Identifier: Apache-2.0
//
// Requests of the admin API: sent with a queue for the answer, which is waited for in slices.

#if Kafka
import CRDKafka

extension Admin {
    /// Makes topics; those that exist already are left as they are and are no error.
    ///
    /// Blocks for at most `timeout`, until the brokers know the new topics. Gives the errors of
    /// those that could not be made, by name; throws where the request as a whole failed. With
    /// `onlyJudged` the brokers judge and make nothing.
    @discardableResult
    public func createTopics(
        _ topics: [NewTopic],
        onlyJudged: Bool = false,
        timeout: Duration
    ) throws(KafkaError) -> [String: KafkaError] {
        var requests: [OpaquePointer?] = []
        defer { for request in requests { rd_kafka_NewTopic_destroy(request) } }
        for topic in topics { requests.append(try request(for: topic)) }
        let event = try answer(
            to: RD_KAFKA_ADMIN_OP_CREATETOPICS,
            RD_KAFKA_EVENT_CREATETOPICS_RESULT,
            waitsForPropagation: !onlyJudged,
            onlyJudged: onlyJudged,
            timeout
        ) { rd_kafka_CreateTopics(client.handle, &requests, requests.count, $0, $1) }
        defer { rd_kafka_event_destroy(event) }
        var count = 0
        let results = rd_kafka_CreateTopics_result_topics(
            rd_kafka_event_CreateTopics_result(event),
            &count
        )
        var failures: [String: KafkaError] = [:]
        for result in UnsafeBufferPointer(start: results, count: count) {
            let code = rd_kafka_topic_result_error(result)
            guard code != RD_KAFKA_RESP_ERR_NO_ERROR,
                code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS
            else { continue }
            let name = String(cString: rd_kafka_topic_result_name(result))
            failures[name] = error(
                code,
                rd_kafka_topic_result_error_string(result),
                "creating topic \(name)"
            )
        }
        return failures
    }

    private func request(for topic: NewTopic) throws(KafkaError) -> OpaquePointer {
        var reason = [CChar](repeating: 0, count: 512)
        let request = rd_kafka_NewTopic_new(
            topic.name,
            Int32(clamping: topic.partitions ?? -1),
            Int32(clamping: topic.replicationFactor ?? -1),
            &reason,
            reason.count
        )
        guard let request else {
            throw KafkaError(
                code: RD_KAFKA_RESP_ERR__INVALID_ARG.rawValue,
                text: "topic \(topic.name): \(Configuration.text(in: reason))"
            )
        }
        for (name, value) in topic.configuration.sorted(by: { $0.key < $1.key }) {
            rd_kafka_NewTopic_set_config(request, name, value)
        }
        return request
    }

    /// The settings of topics that are in force, defaults included, by topic and name.
    ///
    /// Blocks for at most `timeout`. A topic whose settings we may not see has its error instead;
    /// throws where the request as a whole failed.
    public func configurations(
        ofTopics names: [String],
        timeout: Duration
    ) throws(KafkaError) -> [String: Result<[String: String], KafkaError>] {
        var requests: [OpaquePointer?] = names.map {
            rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, $0)
        }
        defer { for request in requests { rd_kafka_ConfigResource_destroy(request) } }
        let event = try answer(
            to: RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
            RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT,
            waitsForPropagation: false,
            timeout
        ) { rd_kafka_DescribeConfigs(client.handle, &requests, requests.count, $0, $1) }
        defer { rd_kafka_event_destroy(event) }
        var count = 0
        let results = rd_kafka_DescribeConfigs_result_resources(
            rd_kafka_event_DescribeConfigs_result(event),
            &count
        )
        var found: [String: Result<[String: String], KafkaError>] = [:]
        for case let result? in UnsafeBufferPointer(start: results, count: count) {
            let name = String(cString: rd_kafka_ConfigResource_name(result))
            let code = rd_kafka_ConfigResource_error(result)
            guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
                let reason = rd_kafka_ConfigResource_error_string(result)
                found[name] = .failure(error(code, reason, "settings of topic \(name)"))
                continue
            }
            found[name] = .success(Self.entries(of: result))
        }
        return found
    }

    private static func entries(of resource: OpaquePointer) -> [String: String] {
        var count = 0
        let entries = rd_kafka_ConfigResource_configs(resource, &count)
        var found: [String: String] = [:]
        for entry in UnsafeBufferPointer(start: entries, count: count) {
            guard let name = rd_kafka_ConfigEntry_name(entry),
                let value = rd_kafka_ConfigEntry_value(entry)
            else { continue }
            found[String(cString: name)] = String(cString: value)
        }
        return found
    }

    /// Sends a request and waits for its answer, which the caller destroys.
    private func answer(
        to operation: rd_kafka_admin_op_t,
        _ type: Int32,
        waitsForPropagation: Bool,
        onlyJudged: Bool = false,
        _ timeout: Duration,
        _ send: (_ options: OpaquePointer?, _ queue: OpaquePointer?) -> Void
    ) throws(KafkaError) -> OpaquePointer {
        let options = rd_kafka_AdminOptions_new(client.handle, operation)
        defer { rd_kafka_AdminOptions_destroy(options) }
        let limit = max(1, timeout.kafkaMilliseconds)
        rd_kafka_AdminOptions_set_request_timeout(options, limit, nil, 0)
        if waitsForPropagation {
            // The controller waits for so long; its answer has to come before our own time is up.
            rd_kafka_AdminOptions_set_operation_timeout(options, limit / 2, nil, 0)
        }
        if onlyJudged { rd_kafka_AdminOptions_set_validate_only(options, 1, nil, 0) }
        let queue = rd_kafka_queue_new(client.handle)
        defer { rd_kafka_queue_destroy(queue) }
        send(options, queue)
        // librdkafka gives an answer by itself when its time is over, a little after ours.
        let deadline = ContinuousClock.now + timeout + .seconds(1)
        while true {
            let event = rd_kafka_queue_poll(queue, Client.slice.kafkaMilliseconds)
            client.serve()
            if let event {
                let code = rd_kafka_event_error(event)
                if rd_kafka_event_type(event) == type, code == RD_KAFKA_RESP_ERR_NO_ERROR {
                    client.forgetLastError()
                    return event
                }
                defer { rd_kafka_event_destroy(event) }
                throw error(code, rd_kafka_event_error_string(event), "asking the cluster")
            }
            try client.goOnWaiting(until: deadline, "asking the cluster")
        }
    }

    private func error(
        _ code: rd_kafka_resp_err_t,
        _ reason: UnsafePointer<CChar>?,
        _ action: String
    ) -> KafkaError {
        var error = KafkaError(code, while: action)
        if let reason {
            error.text = "\(action): \(client.redaction.clean(String(cString: reason)))"
        }
        return error
    }
}
#endif
