// SPDX-License-Identifier: Apache-2.0
//
// Finds the entry of a row by a hash of its cells: open addressing with linear probing, at most
// half full, nothing is ever taken out. A slot is one word:
//
//   generation 16 | tag 16 | entry 32        tag: the hash's upper bits, which spare a comparison
//
// A slot of another generation is free, so that forgetting everything costs nothing.

/// From the hash of a row's cells to the number of its entry, which counts from 0.
///
/// Per entry 4 bytes, and 16 to 32 of slots.
struct RowIndex: Sendable {
    private static let generationLimit: UInt64 = 0xFFFF

    /// A power of two of them.
    private var slots: [UInt64]
    /// The hashes' lower halves, by entry: where the entries go when the slots grow.
    private var hashes: [UInt32] = []
    private var generation: UInt64 = 1

    /// An index with some room; `capacity` is a power of two.
    init(capacity: Int = 64) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0, "a power of two")
        slots = [UInt64](repeating: 0, count: capacity)
    }

    /// How many entries there are.
    var count: Int { hashes.count }

    /// Forgets everything and keeps the memory.
    mutating func removeAll() {
        hashes.removeAll(keepingCapacity: true)
        generation += 1
        guard generation > Self.generationLimit else { return }
        generation = 1
        for slot in slots.indices { slots[slot] = 0 }
    }

    /// The entry with this hash that `isSame` accepts, or -1.
    @inline(__always)
    func find(_ hash: UInt64, isSame: (Int) -> Bool) -> Int {
        let mask = slots.count - 1
        let stamp = stamp(hash)
        var position = Int(truncatingIfNeeded: hash) & mask
        while true {
            let slot = slots[position]
            if slot >> 32 == stamp >> 32 {
                let entry = Int(truncatingIfNeeded: slot & 0xFFFF_FFFF)
                if isSame(entry) { return entry }
            } else if slot >> 48 != generation {
                return -1
            }
            position = (position + 1) & mask
        }
    }

    /// Adds the next entry, which must not be there yet, and returns its number.
    @inline(__always)
    mutating func append(_ hash: UInt64) -> Int {
        let entry = hashes.count
        if (entry + 1) * 2 > slots.count { grow() }
        hashes.append(UInt32(truncatingIfNeeded: hash))
        place(stamp(hash) | UInt64(entry), at: Int(truncatingIfNeeded: hash))
        return entry
    }

    @inline(__always)
    private func stamp(_ hash: UInt64) -> UInt64 {
        generation << 48 | (hash >> 48) << 32
    }

    @inline(__always)
    private mutating func place(_ slot: UInt64, at hash: Int) {
        let mask = slots.count - 1
        var position = hash & mask
        while slots[position] >> 48 == generation { position = (position + 1) & mask }
        slots[position] = slot
    }

    @inline(never)
    private mutating func grow() {
        let former = slots
        slots = [UInt64](repeating: 0, count: former.count * 2)
        for slot in former where slot >> 48 == generation {
            place(slot, at: Int(hashes[Int(slot & 0xFFFF_FFFF)]))
        }
    }
}
