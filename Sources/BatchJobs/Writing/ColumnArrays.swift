// SPDX-License-Identifier: Apache-2.0
//
// Records of COPY's text format, decoded into one text[] for each column: the parameters of the
// statements that insert and update. Eight bytes at a time, and nothing is allocated for a row.

import LibPQ

/// The parameters of one statement; keeps its memory from use to use.
struct ColumnArrays: ~Copyable {
    /// Bytes beyond a value that a store of eight may touch.
    private static let slack = 16
    /// Memory that is kept from use to use, all columns together.
    private static let keptBytes = 8 << 20

    private let width: Int
    private let columns: UnsafeMutablePointer<WireBuffer>
    private var hasNulls: [Bool]
    private var parameters = StatementParameters()

    /// Arrays for records of `width` values.
    init(width: Int) {
        self.width = width
        columns = .allocate(capacity: max(1, width))
        for column in 0..<width { (columns + column).initialize(to: WireBuffer()) }
        hasNulls = [Bool](repeating: false, count: width)
    }

    deinit {
        columns.deinitialize(count: width)
        columns.deallocate()
    }

    /// Takes the records of a range; false where one has not `width` values.
    mutating func fill(_ run: RecordRun, _ range: Range<Int>) -> Bool {
        for column in 0..<width {
            columns[column].removeAll(keepingUpTo: Self.keptBytes / width)
            columns[column].reserve(TextArrayForm.headerBytes)
            columns[column].uncheckedTextArray(count: 0, hasNulls: false)
            hasNulls[column] = false
        }
        for index in range where !append(run[index]) { return false }
        for column in 0..<width {
            columns[column].setTextArray(count: range.count, hasNulls: hasNulls[column])
        }
        return true
    }

    /// Sends a prepared statement with the arrays, without waiting for its result.
    mutating func startExecuting(
        _ name: String,
        on connection: borrowing Connection,
        within limit: Duration
    ) throws(PostgresError) {
        parameters.removeAll()
        for column in 0..<width {
            // The bytes stay where they are until the statement is sent.
            columns[column].withUnsafeBytes { parameters.append(binary: $0) }
        }
        try connection.startExecuting(name, parameters, within: limit)
    }

    private mutating func append(_ record: Record) -> Bool {
        guard var source = record.baseAddress, record.count > 0 else { return false }
        var end = source + record.count
        if (end - 1).load(as: UInt8.self) == UInt8(ascii: "\n") { end -= 1 }
        for column in 0..<width {
            if column > 0 {
                guard source < end, source.load(as: UInt8.self) == UInt8(ascii: "\t") else {
                    return false
                }
                source += 1
            }
            columns[column].reserve(4 + (end - source) + Self.slack)
            if Self.isNull(source, end) {
                columns[column].unchecked(Int32(-1))
                hasNulls[column] = true
                source += 2
            } else {
                source = Self.decode(source, end, into: &columns[column])
            }
        }
        return source == end
    }

    /// Whether the value that begins at `source` is `\N`; a backslash of a value stands twice.
    @inline(__always)
    private static func isNull(_ source: UnsafeRawPointer, _ end: UnsafeRawPointer) -> Bool {
        end - source >= 2 && source.load(as: UInt8.self) == UInt8(ascii: "\\")
            && (source + 1).load(as: UInt8.self) == UInt8(ascii: "N")
    }

    /// Appends the value that begins at `source` as an element; returns where it ends.
    ///
    /// Reserved are as many bytes as there are up to `end`, and some more.
    @inline(__always)
    private static func decode(
        _ start: UnsafeRawPointer,
        _ end: UnsafeRawPointer,
        into buffer: inout WireBuffer
    ) -> UnsafeRawPointer {
        let element = buffer.end
        var target = element + 4
        var source = start
        while true {
            while end - source >= 8 {
                let word = source.loadUnaligned(as: UInt64.self)
                target.storeBytes(of: word, as: UInt64.self)
                let special = specials(word)
                if special != 0 {
                    let length = special.trailingZeroBitCount >> 3
                    source += length
                    target += length
                    break
                }
                source += 8
                target += 8
            }
            guard source < end else { break }
            let byte = source.load(as: UInt8.self)
            if byte == UInt8(ascii: "\t") { break }
            if byte == UInt8(ascii: "\\"), source + 1 < end {
                let letter = (source + 1).load(as: UInt8.self)
                target.storeBytes(of: CopyText.unescaped(letter), as: UInt8.self)
                source += 2
            } else {
                target.storeBytes(of: byte, as: UInt8.self)
                source += 1
            }
            target += 1
        }
        let length = target - (element + 4)
        element.storeBytes(of: Int32(clamping: length).bigEndian, as: Int32.self)
        buffer.advance(4 + length)
        return source
    }

    /// The high bit of each of eight bytes that is a tab or a backslash.
    ///
    /// Above the lowest one bits may be set for no reason: a borrow only spreads upwards.
    @inline(__always)
    private static func specials(_ word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        let tabs = word.littleEndian ^ (ones &* 0x09)
        let slashes = word.littleEndian ^ (ones &* 0x5C)
        return ((tabs &- ones) & ~tabs | (slashes &- ones) & ~slashes) & highs
    }
}
