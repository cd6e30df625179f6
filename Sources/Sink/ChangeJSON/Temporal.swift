// SPDX-License-Identifier: Apache-2.0
//
// Dates and times as ISO 8601 strings or as numbers since the epoch. Years outside 0001 to 9999
// are written as ISO 8601's expanded, astronomical ones: 44 BC is -0043, 10000 is +10000. An
// infinity is the string "infinity" or "-infinity" in either format, since no number says it.
// A value with a time zone stays a string in either format, as it does in Debezium.

import ChangeModel

extension OutputBuffer {
    /// Appends a date; false where it is none.
    mutating func appendDate(_ text: Bytes, as format: ValueFormat.Temporal) -> Bool {
        var cursor = TextCursor(text)
        guard var date = DateText(&cursor) else { return appendInfinity(text) }
        let dateEnd = cursor.index
        guard date.readEra(&cursor) else { return false }
        reserve(32)
        if format == .epoch {
            unchecked(decimal: Int64(date.daysSinceEpoch))
        } else {
            unchecked(UInt8(ascii: "\""))
            unchecked(date, text, until: dateEnd)
            unchecked(UInt8(ascii: "\""))
        }
        return true
    }

    /// Appends a time without time zone; false where it is none.
    mutating func appendTime(
        _ text: Bytes,
        precision: UInt8,
        as format: ValueFormat.Temporal
    ) -> Bool {
        var cursor = TextCursor(text)
        guard let time = TimeText(&cursor), cursor.isAtEnd else { return false }
        if format == .epoch {
            reserve(24)
            return unchecked(epochSeconds: time.seconds, time.microseconds, precision)
        }
        appendText(text)
        return true
    }

    /// Appends a time with time zone, its offset as `Z` or `+HH:MM[:SS]`; false where it is none.
    mutating func appendTimeWithZone(_ text: Bytes) -> Bool {
        var cursor = TextCursor(text)
        guard let time = TimeText(&cursor), let offset = OffsetText(&cursor), cursor.isAtEnd
        else { return false }
        reserve(32)
        unchecked(UInt8(ascii: "\""))
        unchecked(text.part(time.range))
        unchecked(offset, text)
        unchecked(UInt8(ascii: "\""))
        return true
    }

    /// Appends a timestamp, with time zone where `zoned`; false where it is none.
    @inline(__always)
    mutating func appendTimestamp(
        _ text: Bytes,
        zoned: Bool,
        precision: UInt8,
        as format: ValueFormat.Temporal
    ) -> Bool {
        if format == .iso || zoned, appendCommonTimestamp(text, zoned: zoned) { return true }
        return appendAnyTimestamp(text, zoned: zoned, precision: precision, as: format)
    }

    /// Appends `YYYY-MM-DD HH:MM:SS[.f{1,6}][+00]`, what nearly all timestamps are, word by word.
    ///
    /// False where it is not so; then nothing is appended.
    @inline(__always)
    private mutating func appendCommonTimestamp(_ text: Bytes, zoned: Bool) -> Bool {
        let length = text.count - (zoned ? 3 : 0)
        guard length >= 19, length <= 26, length != 20, let base = text.baseAddress else {
            return false
        }
        if zoned {
            // "+00" and whatever stands before it.
            let zone = Word.load(base + length - 5) >> 40
            guard zone == 0x30_302B else { return false }
        }
        let date = Word.load(base)
        let hours = Word.load(base + 8)
        let seconds = Word.load(base + 11)
        guard Self.shaped(date, 0x2D30_302D_3030_3030, separators: 0xFF00_00FF_0000_0000),
            Self.shaped(hours, 0x3030_3A30_3020_3030, separators: 0x0000_FF00_00FF_0000),
            Self.shaped(seconds, 0x3030_3A30_303A_3030, separators: 0x0000_FF00_00FF_0000)
        else { return false }
        reserve(40)
        let start = count
        unchecked(UInt8(ascii: "\""))
        unchecked(word: date, length: 8)
        unchecked(word: hours ^ (0x20 ^ 0x54) << 16, length: 3)
        unchecked(word: seconds, length: 8)
        if length > 19 {
            let fraction = Word.load(base + 20, count: length - 20)
            guard base[19] == UInt8(ascii: "."), Word.areDigits(fraction, count: length - 20)
            else {
                count = start
                return false
            }
            unchecked(UInt8(ascii: "."))
            unchecked(word: fraction, length: length - 20)
        }
        unchecked(word: zoned ? 0x225A : 0x22, length: zoned ? 2 : 1)
        return true
    }

    /// Whether a word has digits where `shape` has `0`, and the same bytes elsewhere.
    @inline(__always)
    private static func shaped(_ word: UInt64, _ shape: UInt64, separators: UInt64) -> Bool {
        let value = word ^ shape
        // 0x76 lets 0 to 9 stay below 0x80, 0x7F only 0.
        let limits = Word.ones &* 0x76 | separators & (Word.ones &* 0x7F)
        return ((value &+ limits) | value) & Word.highs == 0
    }

    @inline(never)
    private mutating func appendAnyTimestamp(
        _ text: Bytes,
        zoned: Bool,
        precision: UInt8,
        as format: ValueFormat.Temporal
    ) -> Bool {
        var cursor = TextCursor(text)
        guard var date = DateText(&cursor) else { return appendInfinity(text) }
        let dateEnd = cursor.index
        guard cursor.take(UInt8(ascii: " ")), let time = TimeText(&cursor) else { return false }
        let offset = zoned ? OffsetText(&cursor) : nil
        guard (offset != nil) == zoned, date.readEra(&cursor) else { return false }
        reserve(64)
        if format == .epoch && !zoned {
            let seconds = date.daysSinceEpoch * 86_400 + time.seconds
            return unchecked(epochSeconds: seconds, time.microseconds, precision)
        }
        unchecked(UInt8(ascii: "\""))
        unchecked(date, text, until: dateEnd)
        unchecked(UInt8(ascii: "T"))
        unchecked(text.part(time.range))
        if let offset { unchecked(offset, text) }
        unchecked(UInt8(ascii: "\""))
        return true
    }

    /// Appends an interval as it is printed, or in microseconds; false where it is none.
    mutating func appendInterval(_ text: Bytes, as format: ValueFormat.Temporal) -> Bool {
        guard let interval = IntervalText(text) else { return appendInfinity(text) }
        if format == .epoch {
            reserve(24)
            unchecked(decimal: interval.microseconds)
        } else {
            appendText(text)
        }
        return true
    }

    private mutating func appendInfinity(_ text: Bytes) -> Bool {
        guard text.equals("infinity") || text.equals("-infinity") else { return false }
        appendText(text)
        return true
    }

    /// Appends microseconds, or milliseconds where the type keeps no more, as Debezium's adaptive.
    ///
    /// PostgreSQL counts from 2000, so its last thirty years do not fit 64 signed bits of
    /// microseconds since 1970: they are written with all their digits nevertheless. False for
    /// a year that PostgreSQL does not have.
    private mutating func unchecked(
        epochSeconds seconds: Int,
        _ microseconds: Int,
        _ precision: UInt8
    ) -> Bool {
        let (unit, fraction) =
            precision <= 3 ? (1000, microseconds / 1000) : (1_000_000, microseconds)
        let total = Int128(seconds) * Int128(unit) + Int128(fraction)
        guard let magnitude = UInt64(exactly: total.magnitude) else { return false }
        if total < 0 { unchecked(UInt8(ascii: "-")) }
        unchecked(decimal: magnitude)
        return true
    }

    private mutating func unchecked(_ bytes: Bytes) {
        if let base = bytes.baseAddress { unchecked(base, bytes.count) }
    }

    /// Appends a date whose text ends at `end`, its year made an ISO 8601 one.
    private mutating func unchecked(_ date: DateText, _ text: Bytes, until end: Int) {
        // "-MM-DD"
        let day = text.part((end - 6)..<end)
        if date.year <= 0 {
            if date.year < 0 { unchecked(UInt8(ascii: "-")) }
            let year = UInt64(-date.year)
            if year < 1000 { unchecked(UInt8(ascii: "0")) }
            if year < 100 { unchecked(UInt8(ascii: "0")) }
            if year < 10 { unchecked(UInt8(ascii: "0")) }
            unchecked(decimal: year)
        } else {
            if date.year > 9999 { unchecked(UInt8(ascii: "+")) }
            unchecked(text.part(0..<(end - 6)))
        }
        unchecked(day)
    }

    private mutating func unchecked(_ offset: OffsetText, _ text: Bytes) {
        if offset.seconds == 0 {
            unchecked(UInt8(ascii: "Z"))
        } else {
            unchecked(text.part(offset.range))
            if offset.isHoursOnly { unchecked(":00") }
        }
    }
}
