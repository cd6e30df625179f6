// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Verify

@Suite struct DivisionTests {
    @Test(arguments: [
        (0.0, Int64(5)...5), (10.0, 1...10), (5_000_000.0, 1...5_000_000),
        (1e12, -1_000_000...1_000_000), (1e6, Int64.min / 4...Int64.max / 4),
        (50_000.0, Int64.max - 3...Int64.max), (50_000.0, Int64.min...(Int64.min + 60)),
    ])
    func `ranges take every key, and neighbours share their bound`(
        rows: Double,
        bounds: ClosedRange<Int64>
    ) throws {
        let division = Division(estimatedRows: rows, bounds: bounds)
        guard case .ranges(let lower, let width, let count) = division else {
            Issue.record("not ranges: \(division)")
            return
        }
        #expect(count >= 1 && count <= Division.bucketLimit)
        #expect(division.bucket(firstKey: bounds.lowerBound, hash: 0) == 0)
        #expect(division.bucket(firstKey: bounds.upperBound, hash: 0) == count - 1)
        // What the stream brings from outside of the bounds still has a place.
        #expect(division.bucket(firstKey: .min, hash: 0) == 0)
        #expect(division.bucket(firstKey: .max, hash: 0) == count - 1)
        for bucket in Set([0, count / 2, count - 1]) {
            var marked = [Bool](repeating: false, count: count)
            marked[bucket] = true
            let parts = division.parts(marked)
            #expect(parts.count == 1)
            let first = lower + Int64(bucket) * width
            let key = min(first, bounds.upperBound)
            #expect(parts[0].contains(firstKey: key, hash: 0))
            if bucket > 0 { #expect(!parts[0].contains(firstKey: first - 1, hash: 0)) }
            if bucket < count - 1 {
                #expect(!parts[0].contains(firstKey: first + width, hash: 0))
            }
        }
    }

    @Test func `bounds that no difference can say are divided by hash`() {
        let division = Division(estimatedRows: 3_000, bounds: Int64.min...Int64.max)
        #expect(division == .hashes(count: 4))
        #expect((0..<4).contains(division.bucket(firstKey: nil, hash: -1)))
    }

    @Test func `differing neighbours make one part, the rest several`() {
        let division = Division.ranges(lower: 0, width: 10, count: 6)
        let marks = [true, true, false, true, false, true]
        let parts = division.parts(marks)
        #expect(parts.count == 3)
        for key in Int64(-5)...70 {
            let bucket = division.bucket(firstKey: key, hash: 0)
            let taken = parts.contains { $0.contains(firstKey: key, hash: 0) }
            #expect(taken == marks[bucket], "\(key)")
        }
        #expect(division.parts([Bool](repeating: false, count: 6)).isEmpty)
        #expect(division.parts([]).isEmpty)
        let long = Division.ranges(lower: 0, width: 10, count: 1_000)
        let shares = long.parts([Bool](repeating: true, count: 1_000))
        #expect(shares.count == 4)
        #expect(zip(shares, shares.dropFirst()).allSatisfy { $0.ends(where: $1) })
        #expect(!parts[0].ends(where: parts[1]))
    }

    @Test func `sums are taken modulo two to the 64th`() {
        #expect(BucketSum.modulo("0") == 0)
        #expect(BucketSum.modulo("-1") == .max)
        #expect(BucketSum.modulo("18446744073709551617") == 1)
        #expect(BucketSum.modulo("-36893488147419103233") == .max)
        var sum = BucketSum()
        sum.add(.min, count: 3)
        sum.add(7, count: 2)
        sum.add(.min, count: -3)
        #expect(sum == BucketSum(rows: 2, hashes: 14))
    }
}
