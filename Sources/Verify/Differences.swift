// SPDX-License-Identifier: Apache-2.0
//
// What differs, gathered in the order of the keys: neighbouring differing rows make one range, of
// which only so many are kept, and counts of all.

import ChangeModel

/// How a row of the target differs from what it should be.
public enum DifferenceKind: String, Sendable, Codable {
    /// The target lacks it.
    case missing
    /// Only the target has it.
    case extra
    /// Both have it, with other values.
    case changed
}

/// Differing rows that are neighbours by their keys.
public struct DifferingRange: Sendable, Codable, Equatable {
    /// The least key, as text.
    public var first: String
    /// The greatest key, as text; `first` for a single row.
    public var last: String
    /// Rows that the target lacks.
    public var missing: Int
    /// Rows that only the target has.
    public var extra: Int
    /// Rows with other values.
    public var changed: Int
}

/// Differences of one table, or of one part of it.
struct Differences: Sendable {
    /// The most ranges that are kept.
    static let rangeLimit = 20

    let shape: KeyShape
    private(set) var missing = 0
    private(set) var extra = 0
    private(set) var changed = 0
    private(set) var ranges: [DifferingRange] = []
    /// The ranges beyond those that are kept.
    private(set) var moreRanges = 0
    /// The keys of all differing rows, as many as may be kept.
    private(set) var keys: KeyList
    /// Whether the first row that was looked at differs.
    private var beginsOpen = false
    private var isBegun = false
    private var isOpen = false

    /// Differences of a table with such keys; `keyRoom` bounds the bytes of those that are kept.
    init(shape: KeyShape, keyRoom: Int) {
        self.shape = shape
        keys = KeyList(byteLimit: keyRoom)
    }

    var count: Int { missing + extra + changed }

    /// Takes the next differing row; `label` is shown in the place of the key.
    mutating func add(_ kind: DifferenceKind, _ key: RowKey, rows: Int = 1, label: String = "") {
        switch kind {
        case .missing: missing += rows
        case .extra: extra += rows
        case .changed: changed += rows
        }
        keys.append(key)
        if !isBegun { (isBegun, beginsOpen) = (true, label.isEmpty) }
        let goesOn = isOpen && label.isEmpty
        isOpen = label.isEmpty
        if goesOn, moreRanges > 0 { return }
        guard goesOn || ranges.count < Self.rangeLimit else {
            moreRanges += 1
            return
        }
        let text = label.isEmpty ? shape.text(of: key) : label
        if !goesOn {
            ranges.append(
                DifferingRange(first: text, last: text, missing: 0, extra: 0, changed: 0)
            )
        }
        let index = ranges.count - 1
        ranges[index].last = text
        switch kind {
        case .missing: ranges[index].missing += rows
        case .extra: ranges[index].extra += rows
        case .changed: ranges[index].changed += rows
        }
    }

    /// Says that a row was equal: what differs next is another range.
    @inline(__always)
    mutating func addEqual() {
        isBegun = true
        isOpen = false
    }

    /// Appends what a part further on has found; `isNext` where no key lies between the two.
    mutating func append(_ next: Differences, isNext: Bool = false) {
        missing += next.missing
        extra += next.extra
        changed += next.changed
        var nextRanges = next.ranges[...]
        if isNext, isOpen, next.beginsOpen, let rest = nextRanges.popFirst(), moreRanges == 0 {
            let index = ranges.count - 1
            ranges[index].last = rest.last
            ranges[index].missing += rest.missing
            ranges[index].extra += rest.extra
            ranges[index].changed += rest.changed
        }
        let room = Self.rangeLimit - ranges.count
        ranges += nextRanges.prefix(room)
        moreRanges += max(0, nextRanges.count - room) + next.moreRanges
        for key in next.keys { keys.append(key) }
        // A part that is empty parts nothing; one that differs all through goes on.
        isOpen = next.isBegun ? next.isOpen : isOpen && isNext
    }
}
