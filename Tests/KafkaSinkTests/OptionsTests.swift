// SPDX-License-Identifier: Apache-2.0

#if Kafka
import ChangeModel
import KafkaSink
import Testing

@Suite struct OptionsTests {
    @Test func `a sink transacts unless it is told otherwise`() {
        let options = KafkaSinkOptions(
            task: "t",
            database: "d",
            version: "0",
            format: ValueFormat(),
            topicPrefix: "t",
            properties: [:]
        )
        #expect(options.transactional)
        #expect(options.heartbeats == nil)
    }
}
#endif
