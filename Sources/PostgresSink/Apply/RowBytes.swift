// SPDX-License-Identifier: Apache-2.0
//
// Hashing and comparing the cells of rows where they stand, in a batch's arena. The decoder has
// checked that a cell lies within the arena; so nothing here looks again.
//
// The hash is wyhash's: a multiplication of 64 by 64 bits per 16 bytes. Its secrets are drawn anew
// by each who folds, so that nobody can write keys that all fall into one slot.

import ChangeModel

/// What makes the hashes of one folding its own.
struct HashSecrets: Sendable {
    /// What a hash begins with.
    let seed = UInt64.random(in: .min ... .max)
    fileprivate let first = UInt64.random(in: .min ... .max)
    fileprivate let second = UInt64.random(in: .min ... .max)
}

/// A batch's memory, lent for as long as a change is folded.
struct RowBytes {
    private let bytes: UnsafeRawPointer
    private let cells: UnsafePointer<Cell>
    private let secrets: HashSecrets

    /// `nil` where there is no memory at all, and so no row.
    @inline(__always)
    init?(
        bytes: UnsafeRawBufferPointer,
        cells: UnsafeBufferPointer<Cell>,
        secrets: HashSecrets
    ) {
        guard let bytes = bytes.baseAddress, let cells = cells.baseAddress else { return nil }
        self.bytes = bytes
        self.cells = cells
        self.secrets = secrets
    }

    /// The tuple that begins at a cell of the batch.
    @inline(__always)
    func tuple(_ first: UInt32) -> UnsafePointer<Cell> { cells + Int(first) }

    /// Whether two cells hold the same bytes, or are without a value for the same reason.
    @inline(__always)
    func areSame(_ one: Cell, _ other: Cell) -> Bool {
        guard one.length == other.length else { return false }
        guard one.length > 0, one.offset != other.offset else { return true }
        return Self.areSame(
            bytes + Int(one.offset),
            bytes + Int(other.offset),
            count: Int(one.length)
        )
    }

    /// The hash of what was hashed before and of one more cell.
    @inline(__always)
    func hash(_ cell: Cell, after former: UInt64) -> UInt64 {
        guard cell.length > 0 else {
            let reason = UInt64(bitPattern: Int64(cell.length))
            return Self.mix(former ^ secrets.second, reason ^ secrets.first)
        }
        return hash(bytes + Int(cell.offset), count: Int(cell.length), after: former)
    }

    @inline(__always)
    private static func mix(_ one: UInt64, _ other: UInt64) -> UInt64 {
        let product = one.multipliedFullWidth(by: other)
        return product.high ^ product.low
    }

    @inline(__always)
    private static func eight(_ pointer: UnsafeRawPointer) -> UInt64 {
        pointer.loadUnaligned(as: UInt64.self)
    }

    @inline(__always)
    private static func four(_ pointer: UnsafeRawPointer) -> UInt64 {
        UInt64(pointer.loadUnaligned(as: UInt32.self))
    }

    /// One to three bytes, each at least once.
    @inline(__always)
    private static func few(_ pointer: UnsafeRawPointer, count: Int) -> UInt64 {
        let first = UInt64(pointer.load(as: UInt8.self))
        let middle = UInt64(pointer.load(fromByteOffset: count >> 1, as: UInt8.self))
        let last = UInt64(pointer.load(fromByteOffset: count - 1, as: UInt8.self))
        return first << 16 | middle << 8 | last
    }

    @inline(__always)
    private func hash(
        _ start: UnsafeRawPointer,
        count: Int,
        after former: UInt64
    ) -> UInt64 {
        var state = former
        let low: UInt64
        let high: UInt64
        if count > 16 {
            var pointer = start
            var rest = count
            while rest > 16 {
                state = Self.mix(
                    Self.eight(pointer) ^ secrets.first,
                    Self.eight(pointer + 8) ^ state
                )
                pointer += 16
                rest -= 16
            }
            // The last 16 bytes, some of them perhaps for the second time.
            low = Self.eight(start + count - 16)
            high = Self.eight(start + count - 8)
        } else if count >= 8 {
            low = Self.eight(start)
            high = Self.eight(start + count - 8)
        } else if count >= 4 {
            low = Self.four(start)
            high = Self.four(start + count - 4)
        } else {
            low = Self.few(start, count: count)
            high = 0
        }
        return Self.mix(secrets.first ^ UInt64(count), Self.mix(low ^ secrets.second, high ^ state))
    }

    @inline(__always)
    private static func areSame(
        _ one: UnsafeRawPointer,
        _ other: UnsafeRawPointer,
        count: Int
    ) -> Bool {
        if count >= 8 {
            var offset = 0
            while offset < count - 8 {
                if eight(one + offset) != eight(other + offset) { return false }
                offset += 8
            }
            return eight(one + count - 8) == eight(other + count - 8)
        }
        if count >= 4 {
            return four(one) == four(other) && four(one + count - 4) == four(other + count - 4)
        }
        return few(one, count: count) == few(other, count: count)
    }
}

/// A tuple whose unchanged cells are taken from the old tuple, where that holds them.
///
/// Under REPLICA IDENTITY FULL the old tuple holds them all; a key holds those of a TOASTed key.
struct FilledTuple {
    private let new: UnsafePointer<Cell>
    private let old: UnsafePointer<Cell>

    /// `old` is `new` again where there is no old tuple.
    @inline(__always)
    init(_ new: UnsafePointer<Cell>, old: UnsafePointer<Cell>) {
        self.new = new
        self.old = old
    }

    /// The cell of a column; `.unchanged` where nobody sent it.
    @inline(__always)
    subscript(column: Int) -> Cell {
        let cell = new[column]
        guard cell.isUnchanged else { return cell }
        let former = old[column]
        return former.isValue ? former : .unchanged
    }

    /// Whether the new tuple left out a column, which the old one may hold.
    @inline(__always)
    func leavesOut(_ column: Int) -> Bool { new[column].isUnchanged }

    /// Whether the new tuple left out any column.
    @inline(__always)
    func isPartial(columnCount: Int) -> Bool {
        var isPartial = false
        for column in 0..<columnCount where leavesOut(column) { isPartial = true }
        return isPartial
    }
}

extension Cell {
    /// Whether this is a TOASTed value that was not sent.
    @inline(__always)
    var isUnchanged: Bool { length == Cell.unchanged.length }
}
