// SPDX-License-Identifier: Apache-2.0
//
// Adds up what the pieces of one table come to on both sides. As soon as all have come the sums
// are compared and let go; what is kept is which buckets differ.

import LibPQ
import Synchronization

/// The sums of one table.
final class Tally: Sendable {
    private struct State {
        var sums: [[BucketSum]] = [[], []]
        var piecesLeft: Int
        var rows: [Int64] = [0, 0]
        var differing: [Bool] = []
    }

    let division: Division
    private let state: Mutex<State>

    /// A tally for so many pieces of both sides together; nothing is allocated yet.
    init(_ division: Division, pieceCount: Int) {
        self.division = division
        state = Mutex(State(piecesLeft: pieceCount))
    }

    /// Whether every piece has come.
    var isWhole: Bool { state.withLock { $0.piecesLeft == 0 } }

    /// The rows of a side; of the source with what happened since.
    func rows(_ side: Side) -> Int64 { state.withLock { $0.rows[side.rawValue] } }

    /// Which buckets differ; empty where none does.
    ///
    /// To be asked when the tally is whole.
    var differing: [Bool] { state.withLock { $0.differing } }

    /// Takes the rows of a summing statement, or nothing where a side has no storage.
    ///
    /// The last one brings the comparison, for which `overlay` is taken into account. Returns how
    /// many rows the piece had.
    @discardableResult
    func add(
        _ result: borrowing QueryResult,
        _ side: Side,
        overlay: RowOverlay,
        shape: KeyShape,
        isKeyless: Bool
    ) -> Int64 {
        var entries: [(bucket: Int, sum: BucketSum)] = []
        entries.reserveCapacity(result.count)
        var rows: Int64 = 0
        for row in 0..<result.count {
            let count = result.integer(row, 1) ?? 0
            rows += count
            let bucket = Int(clamping: result.integer(row, 0) ?? 0)
            let sum = BucketSum(rows: count, hashes: BucketSum.modulo(result.text(row, 2)))
            entries.append((bucket, sum))
        }
        state.withLock { state in
            if state.sums[side.rawValue].isEmpty {
                state.sums[side.rawValue] = [BucketSum](
                    repeating: BucketSum(),
                    count: division.count
                )
            }
            state.rows[side.rawValue] += rows
            for (bucket, sum) in entries {
                let place = max(0, min(bucket, division.count - 1))
                state.sums[side.rawValue][place].rows &+= sum.rows
                state.sums[side.rawValue][place].hashes &+= sum.hashes
            }
            state.piecesLeft -= 1
            if state.piecesLeft == 0 {
                compare(&state, overlay, isNumber: shape.parts.first?.isNumber ?? false, isKeyless)
            }
        }
        return rows
    }

    private func compare(
        _ state: inout State,
        _ overlay: RowOverlay,
        isNumber: Bool,
        _ isKeyless: Bool
    ) {
        var sums = state.sums
        for side in [0, 1] where sums[side].isEmpty {
            sums[side] = [BucketSum](repeating: BucketSum(), count: division.count)
        }
        func add(_ row: HashedRow, _ sign: Int64) {
            // Of a row without a key the hash stands in the key's place, and the value is a count.
            let first = isNumber ? KeyShape.number(row.key) : nil
            let hash = isKeyless ? first ?? 0 : row.value
            let count = isKeyless ? row.value * sign : sign
            let bucket = division.bucket(firstKey: isKeyless ? nil : first, hash: hash)
            sums[0][bucket].add(hash, count: count)
            state.rows[0] += count
        }
        for row in overlay.touched { add(row, -1) }
        for row in overlay.rows { add(row, 1) }
        state.sums = [[], []]
        let differing = zip(sums[0], sums[1]).map { $0 != $1 }
        if differing.contains(true) { state.differing = differing }
    }
}
