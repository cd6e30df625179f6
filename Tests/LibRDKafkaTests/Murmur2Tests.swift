// SPDX-License-Identifier: Apache-2.0

#if Kafka
import LibRDKafka
import Testing

struct Murmur2Tests {
    // The vectors of Kafka's own test of its hash (UtilsTest.testMurmur2).
    @Test(
        arguments: [
            ("21", -973_932_308), ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971), ("abc", 479_470_107),
        ] as [(String, Int32)]
    )
    func `keys hash as in Java`(_ key: String, _ hash: Int32) {
        let found = Array(key.utf8).withUnsafeBytes { Murmur2.hash($0) }
        #expect(Int32(bitPattern: found) == hash)
    }

    @Test func `a negative hash gives a partition all the same`() {
        Array("21".utf8).withUnsafeBytes { key in
            // toPositive(-973932308) = 1173551340
            #expect(Murmur2.partition(key, count: 7) == 1_173_551_340 % 7)
            #expect(Murmur2.partition(key, count: 1) == 0)
        }
    }

    @Test func `an empty key has a hash, too`() {
        let hash = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(Murmur2.hash(hash) == 275_646_681)
    }
}
#endif
