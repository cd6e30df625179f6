// SPDX-License-Identifier: Apache-2.0
//
// The name that somebody who mistyped probably meant.

/// The candidate nearest to a mistyped name, or nil when none is near.
///
/// Case, `_` and `-` do not count. Near is the start of a candidate in three letters or more, or
/// what one edit (insert, drop, change, swap of neighbours) for each three letters mends, at most
/// three edits.
package func nearestName(to name: String, among candidates: [String]) -> String? {
    let typed = comparable(name)
    guard !typed.isEmpty, typed.count <= 64 else { return nil }
    let limit = min(3, max(1, (typed.count + 1) / 3))
    var best: (distance: Int, candidate: String)?
    for candidate in candidates {
        let meant = comparable(candidate)
        var distance = editDistance(typed, meant)
        if distance > limit, typed.count >= 3, meant.starts(with: typed) { distance = limit }
        if distance <= limit, distance < best?.distance ?? .max, distance < meant.count {
            best = (distance, candidate)
        }
    }
    return best?.candidate
}

private func comparable(_ name: String) -> [Unicode.Scalar] {
    name.lowercased().unicodeScalars.filter { $0 != "_" && $0 != "-" }
}

/// The optimal string alignment distance.
private func editDistance(_ first: [Unicode.Scalar], _ second: [Unicode.Scalar]) -> Int {
    guard !first.isEmpty, !second.isEmpty else { return max(first.count, second.count) }
    var beforeLast = [Int](repeating: 0, count: second.count + 1)
    var last = Array(0...second.count)
    for row in 1...first.count {
        var current = [Int](repeating: row, count: second.count + 1)
        for column in 1...second.count {
            let cost = first[row - 1] == second[column - 1] ? 0 : 1
            var least = min(last[column] + 1, current[column - 1] + 1, last[column - 1] + cost)
            if row > 1, column > 1, first[row - 1] == second[column - 2],
                first[row - 2] == second[column - 1]
            {
                least = min(least, beforeLast[column - 2] + 1)
            }
            current[column] = least
        }
        beforeLast = last
        last = current
    }
    return last[second.count]
}
