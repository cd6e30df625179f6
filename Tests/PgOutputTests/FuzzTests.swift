// SPDX-License-Identifier: Apache-2.0
//
// Mutations of the corpus through `exercise`, for WALRELAY_TEST_FUZZ_SECONDS (5 by default). The
// seed is fixed (WALRELAY_TEST_FUZZ_SEED changes it) and case n depends on seed and n only, so a
// failure comes back with the numbers that it prints. `scripts/fuzz` searches with coverage.

import Foundation
import Support
import Testing

struct FuzzTests {
    private static let lengths = [
        0, 1, -1, 2, 0x7F, 0x80, 0xFF, 0x0681, 0x7FFF, 0x8000, 0x7FFF_FFFF, -0x8000_0000,
        0x4000_0000,
    ]

    private func mutated(_ seeds: [[UInt8]], _ dice: inout SeededGenerator) -> [UInt8] {
        var bytes = seeds.randomElement(using: &dice) ?? []
        for _ in 0..<Int.random(in: 1...4, using: &dice) {
            let place = Int.random(in: 0...bytes.count, using: &dice)
            let piece = place..<Int.random(in: place...bytes.count, using: &dice)
            switch Int.random(in: 0..<9, using: &dice) {
            case 0: bytes.removeSubrange(place...)
            case 1: bytes.removeSubrange(piece)
            case 2: bytes.insert(contentsOf: Array(bytes[piece].prefix(64)), at: place)
            case 3: bytes.insert(UInt8.random(in: .min ... .max, using: &dice), at: place)
            case 4:
                let other = seeds.randomElement(using: &dice) ?? []
                bytes.replaceSubrange(place..., with: other.suffix(bytes.count - place))
            case 5:
                let length = Wire().int32(Self.lengths.randomElement(using: &dice) ?? 0).bytes
                let width = Bool.random(using: &dice) ? 4 : 2
                let end = min(bytes.count, place + width)
                bytes.replaceSubrange(place..<end, with: length.suffix(width))
            case 6 where place < bytes.count:
                bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &dice)
            case 7 where place < bytes.count:
                bytes[place] = "BCORYIUDTMNKOntub\\\t\n".utf8.randomElement(using: &dice) ?? 0
            case 8 where place < bytes.count:
                bytes[place] = UInt8.random(in: .min ... .max, using: &dice)
            default: break
            }
        }
        return bytes
    }

    @Test func `No mutation of what servers sent breaks a decoder`() throws {
        let environment = ProcessInfo.processInfo.environment
        let seconds = environment["WALRELAY_TEST_FUZZ_SECONDS"].flatMap(Double.init) ?? 5
        let seed = environment["WALRELAY_TEST_FUZZ_SEED"].flatMap { UInt64($0) } ?? 20_261_122
        let seeds = Corpus.samples.map(\.bytes)
        #expect(!seeds.isEmpty)

        let end = ContinuousClock.now + .seconds(seconds)
        var cases: UInt64 = 0
        while ContinuousClock.now < end {
            cases += 1
            var dice = SeededGenerator(seed: seed &+ cases &* 0xD134_2543_DE82_EF95)
            let bytes = mutated(seeds, &dice)
            if let fault = exercise(bytes) {
                Issue.record("seed \(seed), case \(cases): \(fault); input \(bytes)")
                return
            }
        }
        print("fuzz: seed \(seed), \(cases) cases, \(seeds.count) seeds, no fault")
    }
}
