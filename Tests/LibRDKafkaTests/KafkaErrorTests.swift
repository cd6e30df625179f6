// SPDX-License-Identifier: Apache-2.0
//
// Which codes mean what to the operator.

#if Kafka
import LibRDKafka
import Testing

struct KafkaErrorTests {
    @Test(
        arguments: [
            (29, .authorization), (31, .authorization), (53, .authorization),
            (-169, .authentication),
            (58, .authentication), (-181, .tls), (3, .unknownTopic), (-190, .unknownTopic),
            (-195, .unreachable), (-193, .unreachable), (-187, .unreachable), (7, .unreachable),
            (15, .unreachable), (-192, .unreachable), (-144, .fenced), (90, .fenced), (47, .fenced),
            (10, .tooLarge), (35, .unsupported), (45, .other), (-1, .other),
        ] as [(Int32, KafkaError.Kind)]
    )
    func `a code has its kind`(_ code: Int32, _ kind: KafkaError.Kind) {
        #expect(KafkaError(code: code, text: "").kind == kind)
    }

    @Test func `the description has the text and the code's name once`() {
        let error = KafkaError(code: -195, text: "Connection refused")
        #expect(error.name == "_TRANSPORT")
        #expect("\(error)" == "Connection refused (_TRANSPORT)")
        let named = KafkaError(code: -195, text: "_TRANSPORT it was")
        #expect("\(named)" == "_TRANSPORT it was")
    }
}
#endif
