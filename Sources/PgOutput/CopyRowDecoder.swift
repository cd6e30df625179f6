// SPDX-License-Identifier: Apache-2.0
//
// The other text encoding of rows that the server sends: one CopyData message of
// COPY … TO STDOUT in text format is one row.
//
//   value TAB value … TAB value LF      the LF may be left out; there is no other raw TAB or LF
//   \N                    NULL, when it is the whole value
//   \b \f \n \r \t \v \\  the control characters and the backslash itself
//   \ooo \xHH             a byte in one to three octal or one or two hexadecimal digits
//   \ and another         that character (the server writes none of these, COPY FROM takes them)
//
// A row without escapes, NULLs aside, is copied as it stands in one piece and its cells point
// into it; eight bytes are looked at at a time. Only the others are put together piece by piece.

public import ChangeModel

/// Decodes rows of COPY in text format into an arena and cells.
public enum CopyRowDecoder {
    /// Decodes one row: appends its bytes to the arena and one cell a column.
    ///
    /// The arena may receive the separators too. After an error both arrays hold what they held
    /// before.
    public static func decode(
        _ row: Span<UInt8>,
        columnCount: Int,
        into bytes: inout [UInt8],
        cells: inout [Cell]
    ) throws(DecodeError) {
        let hasLineFeed = row.count > 0 && row[row.count - 1] == lineFeed
        let row = hasLineFeed ? row.extracting(droppingLast: 1) : row
        try checkRoom(row, in: bytes)
        guard columnCount > 0 else {
            if row.isEmpty { return }
            throw fault("an empty row of a table without columns", "bytes", 0, row)
        }

        let formerCells = cells.count
        let formerBytes = bytes.count
        do throws(DecodeError) {
            if try index(row, columnCount: columnCount, base: formerBytes, cells: &cells) {
                bytes.append(copying: row)
            } else {
                cells.removeLast(cells.count - formerCells)
                try unescape(row, columnCount: columnCount, into: &bytes, cells: &cells)
            }
        } catch {
            cells.removeLast(cells.count - formerCells)
            bytes.removeLast(bytes.count - formerBytes)
            throw error
        }
    }

    /// Appends the cells of a row as it stands; `false` where it has to be put together instead.
    @inline(__always)
    private static func index(
        _ row: Span<UInt8>,
        columnCount: Int,
        base: Int,
        cells: inout [Cell]
    ) throws(DecodeError) -> Bool {
        let limit = cells.count + columnCount
        var start = 0
        var isNull = false
        var wordStart = 0
        while wordStart < row.count {
            var marks = specialBytes(row, at: wordStart)
            while marks != 0 {
                let position = wordStart &+ marks.trailingZeroBitCount &>> 3
                marks &= marks &- 1
                switch row[position] {
                case tab:
                    cells.append(isNull ? .null : cell(base &+ start, position &- start))
                    guard cells.count < limit else {
                        throw fault("the row's last column", "a tab", position, row)
                    }
                    start = position &+ 1
                    isNull = false
                case backslash:
                    isNull = isNullMark(row, at: position, valueStart: start)
                    guard isNull else { return false }
                default: throw rawLineFeed(row, position)
                }
            }
            wordStart &+= 8
        }
        cells.append(isNull ? .null : cell(base &+ start, row.count &- start))
        guard cells.count == limit else { throw tooFew(row, limit - cells.count) }
        return true
    }

    private static func unescape(
        _ row: Span<UInt8>,
        columnCount: Int,
        into bytes: inout [UInt8],
        cells: inout [Cell]
    ) throws(DecodeError) {
        if row.count == 2 && row[1] == UInt8(ascii: ".") {
            throw fault("a row", "COPY's end marker", 0, row)
        }
        let limit = cells.count + columnCount
        var start = bytes.count
        var valueStart = 0
        var isNull = false
        var position = 0
        while true {
            let next = nextSpecial(row, from: position)
            bytes.append(copying: row.extracting(position..<next))
            position = next
            if position == row.count { break }
            switch row[position] {
            case tab:
                cells.append(isNull ? .null : cell(start, bytes.count - start))
                guard cells.count < limit else {
                    throw fault("the row's last column", "a tab", position, row)
                }
                position += 1
                start = bytes.count
                valueStart = position
                isNull = false
            case backslash where isNullMark(row, at: position, valueStart: valueStart):
                isNull = true
                position += 2
            case backslash: bytes.append(try escape(row, &position))
            default: throw rawLineFeed(row, position)
            }
        }
        cells.append(isNull ? .null : cell(start, bytes.count - start))
        guard cells.count == limit else { throw tooFew(row, limit - cells.count) }
    }

    /// The byte that an escape stands for; `position` goes from the backslash to what follows.
    private static func escape(
        _ row: Span<UInt8>,
        _ position: inout Int
    ) throws(DecodeError) -> UInt8 {
        position += 1
        guard position < row.count else {
            throw fault("a character after the backslash", "the end", position, row)
        }
        let character = row[position]
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            return number(row, &position, radix: 8, digitLimit: 3) ?? character
        case UInt8(ascii: "x"):
            var digits = position + 1
            if let byte = number(row, &digits, radix: 16, digitLimit: 2) {
                position = digits
                return byte
            }
        default: break
        }
        position += 1
        return switch character {
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "t"): 0x09
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "v"): 0x0B
        case UInt8(ascii: "f"): 0x0C
        case UInt8(ascii: "r"): 0x0D
        default: character
        }
    }

    /// A byte from digits, of which only the low eight bits count; `nil` where there is no digit.
    private static func number(
        _ row: Span<UInt8>,
        _ position: inout Int,
        radix: Int,
        digitLimit: Int
    ) -> UInt8? {
        let end = min(row.count, position + digitLimit)
        var value: Int?
        while position < end, let digit = Character(Unicode.Scalar(row[position])).hexDigitValue,
            digit < radix
        {
            value = (value ?? 0) * radix + digit
            position += 1
        }
        return value.map { UInt8(truncatingIfNeeded: $0) }
    }
}

extension CopyRowDecoder {
    private static let tab = UInt8(ascii: "\t")
    private static let lineFeed = UInt8(ascii: "\n")
    private static let backslash = UInt8(ascii: "\\")

    @inline(__always)
    private static func cell(_ offset: Int, _ length: Int) -> Cell {
        Cell(
            offset: UInt32(truncatingIfNeeded: offset),
            length: Int32(truncatingIfNeeded: length)
        )
    }

    /// Whether the value that begins at `valueStart` is `\N` and nothing else.
    @inline(__always)
    private static func isNullMark(_ row: Span<UInt8>, at position: Int, valueStart: Int) -> Bool {
        let end = position &+ 2
        return position == valueStart && end <= row.count && row[position &+ 1] == UInt8(ascii: "N")
            && (end == row.count || row[end] == tab)
    }

    /// The first tab, line feed or backslash at or behind a position; the row's end if none.
    private static func nextSpecial(_ row: Span<UInt8>, from start: Int) -> Int {
        var wordStart = start
        while wordStart < row.count {
            let marks = specialBytes(row, at: wordStart)
            if marks != 0 { return wordStart + marks.trailingZeroBitCount >> 3 }
            wordStart += 8
        }
        return row.count
    }

    /// The high bit of each tab, line feed and backslash among the next eight bytes.
    @inline(__always)
    private static func specialBytes(_ row: Span<UInt8>, at start: Int) -> UInt64 {
        let word = word(row, at: start)
        return zeroBytes(word ^ 0x0909_0909_0909_0909) | zeroBytes(word ^ 0x0A0A_0A0A_0A0A_0A0A)
            | zeroBytes(word ^ 0x5C5C_5C5C_5C5C_5C5C)
    }

    /// The high bit of each byte that is zero; exact, since nothing carries into another byte.
    @inline(__always)
    private static func zeroBytes(_ word: UInt64) -> UInt64 {
        let low: UInt64 = 0x7F7F_7F7F_7F7F_7F7F
        return ~(((word & low) &+ low) | word | low)
    }

    /// The next eight bytes, the first one lowest; zeros behind the row's end.
    @inline(__always)
    private static func word(_ row: Span<UInt8>, at start: Int) -> UInt64 {
        guard start &+ 8 <= row.count else { return lastWord(row.extracting(start...)) }
        // One check for all eight: the compiler makes a single load of what follows.
        let eight = row.extracting(start..<(start &+ 8))
        let first = UInt64(eight[0]) | UInt64(eight[1]) << 8
        let second = UInt64(eight[2]) << 16 | UInt64(eight[3]) << 24
        let third = UInt64(eight[4]) << 32 | UInt64(eight[5]) << 40
        let fourth = UInt64(eight[6]) << 48 | UInt64(eight[7]) << 56
        return first | second | third | fourth
    }

    @inline(__always)
    private static func lastWord(_ rest: Span<UInt8>) -> UInt64 {
        var word: UInt64 = 0
        for index in rest.indices {
            word |= UInt64(rest[index]) << UInt64(truncatingIfNeeded: index &* 8)
        }
        return word
    }

    /// Holds that every offset and length that the row can give fits into a cell.
    @inline(__always)
    private static func checkRoom(_ row: Span<UInt8>, in bytes: [UInt8]) throws(DecodeError) {
        guard row.count <= Int(Int32.max), bytes.count <= Int(UInt32.max) - row.count else {
            throw fault("an arena of at most 4 GiB", "a row to be added at \(bytes.count)", 0, row)
        }
    }

    @inline(never)
    private static func rawLineFeed(_ row: Span<UInt8>, _ position: Int) -> DecodeError {
        fault("a value without a raw line feed", "one", position, row)
    }

    @inline(never)
    private static func tooFew(_ row: Span<UInt8>, _ missing: Int) -> DecodeError {
        fault("\(missing) more columns", "the end", row.count, row)
    }

    @inline(never)
    private static func fault(
        _ expected: String,
        _ found: String,
        _ offset: Int,
        _ row: Span<UInt8>
    ) -> DecodeError {
        DecodeError(
            subject: .copyRow,
            expected: expected,
            found: found,
            offset: offset,
            length: row.count
        )
    }
}
