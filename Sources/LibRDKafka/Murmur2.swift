// SPDX-License-Identifier: Apache-2.0
//
// The partition that Java's producer would choose for a key, so that other producers of the same
// topic and joins in Kafka Streams find the same key in the same partition.

#if Kafka

/// The hash of Java's default partitioner.
public enum Murmur2 {
    /// The partition of a key in a topic with `count` partitions (at least 1).
    public static func partition(_ key: UnsafeRawBufferPointer, count: Int32) -> Int32 {
        Int32(truncatingIfNeeded: hash(key) & 0x7fff_ffff) % max(count, 1)
    }

    /// MurmurHash2 with Java's seed.
    public static func hash(_ key: UnsafeRawBufferPointer) -> UInt32 {
        let factor: UInt32 = 0x5bd1_e995
        var hash = 0x9747_b28c ^ UInt32(truncatingIfNeeded: key.count)
        var offset = 0
        while key.count - offset >= 4 {
            let word = key.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            var block = UInt32(littleEndian: word) &* factor
            block ^= block >> 24
            hash = (hash &* factor) ^ (block &* factor)
            offset += 4
        }
        if offset < key.count {
            for index in offset..<key.count {
                hash ^= UInt32(key[index]) << (8 * UInt32(index - offset))
            }
            hash = hash &* factor
        }
        hash ^= hash >> 13
        hash = hash &* factor
        return hash ^ (hash >> 15)
    }
}
#endif
