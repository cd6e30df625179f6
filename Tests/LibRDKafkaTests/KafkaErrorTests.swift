// SPDX-License-Identifier: Apache-2.0

#if Kafka
import LibRDKafka
import Testing

@Suite struct KafkaErrorTests {
    @Test func `an error keeps its code and text`() {
        let error = KafkaError(code: -195, text: "broker transport failure")
        #expect(error.code == -195)
        #expect(error.text == "broker transport failure")
    }
}
#endif
