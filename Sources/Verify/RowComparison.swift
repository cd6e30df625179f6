// SPDX-License-Identifier: Apache-2.0
//
// Two streams of rows, sorted alike, held against each other; memory for one row of each.

import ChangeModel

/// Rows in ascending order of (key, value).
///
/// The value is the hash of a row with a key; of rows without one it is how many there are with
/// the hash that stands in the place of the key.
protocol RowSequence: AnyObject {
    /// Goes to the next row; false behind the last.
    func advance() throws -> Bool
    /// The present row's key.
    var key: RowKey { get }
    /// The present row's value.
    var value: Int64 { get }
    /// What to show in the place of the key; empty where the key says it.
    var label: String { get }
}

/// What the target should hold: the source's rows, without those that changed since, and with
/// what they became.
final class ExpectedRows<Base: RowSequence>: RowSequence {
    private let base: Base
    private let overlay: RowOverlay
    private let isCounted: Bool
    private var hasBase = false
    private var touchedIndex = 0
    private var overlayIndex = 0
    private var isBegun = false
    private(set) var key: RowKey = []
    private(set) var value: Int64 = 0
    private(set) var label = ""

    /// `overlay` is sorted, and holds only rows of the part that `base` gives.
    init(_ base: Base, overlay: RowOverlay, isCounted: Bool) {
        self.base = base
        self.overlay = overlay
        self.isCounted = isCounted
    }

    func advance() throws -> Bool {
        if !isBegun {
            isBegun = true
            try advanceBase()
        }
        while true {
            let next = overlayIndex < overlay.rows.count ? overlay.rows[overlayIndex] : nil
            guard hasBase || next != nil else { return false }
            let order =
                next == nil
                ? -1 : hasBase ? KeyShape.compare(base.key, next?.key ?? []) : 1
            if order < 0 || (order == 0 && !isCounted) {
                (key, value, label) = (base.key, base.value, base.label)
                try advanceBase()
                return true
            }
            guard let next else { return false }
            overlayIndex += 1
            guard isCounted else {
                (key, value, label) = (next.key, next.value, "")
                return true
            }
            var count = next.value
            label = "a row that was written meanwhile"
            if order == 0 {
                count += base.value
                label = base.label
                try advanceBase()
            }
            (key, value) = (next.key, count)
            if count > 0 { return true }
        }
    }

    /// The source's next row that did not change since.
    private func advanceBase() throws {
        while try base.advance() {
            while touchedIndex < overlay.touched.count,
                KeyShape.compare(overlay.touched[touchedIndex].key, base.key) < 0
            {
                touchedIndex += 1
            }
            if touchedIndex < overlay.touched.count, overlay.touched[touchedIndex].key == base.key {
                continue
            }
            hasBase = true
            return
        }
        hasBase = false
    }
}

/// A row by its key and value; see `RowSequence`.
struct HashedRow: Sendable, Equatable {
    var key: RowKey
    var value: Int64

    static func precedes(_ first: HashedRow, _ second: HashedRow) -> Bool {
        let order = KeyShape.compare(first.key, second.key)
        return order != 0 ? order < 0 : first.value < second.value
    }
}

/// What happened to a table between the source's snapshot and the target's position.
struct RowOverlay: Sendable {
    /// Rows of the source's snapshot that are no more what they were.
    var touched: [HashedRow] = []
    /// What became of them, and new rows; of rows without a key how many more or less.
    var rows: [HashedRow] = []

    /// Nothing happened.
    static var none: RowOverlay { RowOverlay() }

    var isEmpty: Bool { touched.isEmpty && rows.isEmpty }

    /// The part that a predicate takes, in order.
    func filtered(_ isTaken: (HashedRow) -> Bool) -> RowOverlay {
        RowOverlay(touched: touched, rows: rows.filter(isTaken))
    }
}

enum RowComparison {
    /// Compares until both have ended; what differs goes to `differences`.
    ///
    /// Blocks; returns how many rows were looked at.
    static func run<Expected: RowSequence, Actual: RowSequence>(
        expected: Expected,
        actual: Actual,
        isCounted: Bool,
        into differences: inout Differences,
        progress: (Int) -> Void = { _ in }
    ) throws {
        var hasExpected = try expected.advance()
        var hasActual = try actual.advance()
        var rows = 0
        while hasExpected || hasActual {
            rows += 1
            if rows.isMultiple(of: 4_096) { progress(4_096) }
            let order =
                !hasActual ? -1 : !hasExpected ? 1 : KeyShape.compare(expected.key, actual.key)
            if order == 0 {
                let surplus = isCounted ? expected.value - actual.value : 0
                if surplus != 0 {
                    differences.add(
                        surplus > 0 ? .missing : .extra,
                        expected.key,
                        rows: Int(surplus.magnitude),
                        label: surplus > 0 ? expected.label : actual.label
                    )
                } else if expected.value != actual.value {
                    differences.add(.changed, expected.key)
                } else {
                    differences.addEqual()
                }
                hasExpected = try expected.advance()
                hasActual = try actual.advance()
            } else if order < 0 {
                let count = isCounted ? Int(expected.value) : 1
                differences.add(.missing, expected.key, rows: count, label: expected.label)
                hasExpected = try expected.advance()
            } else {
                let count = isCounted ? Int(actual.value) : 1
                differences.add(.extra, actual.key, rows: count, label: actual.label)
                hasActual = try actual.advance()
            }
        }
    }
}
