// SPDX-License-Identifier: Apache-2.0
//
// What PostgreSQL prints under DateStyle = ISO, taken apart:
//
//   date         YYYY[YYY]-MM-DD[ BC]
//   time         HH:MM:SS[.f{1,6}]
//   timetz       time, offset
//   timestamp    date time[ BC]
//   timestamptz  date time offset[ BC]
//   offset       (+|-)HH[:MM[:SS]]
//
// or infinity, -infinity where the type has them.

/// A walk over a short text.
struct TextCursor {
    private let text: Bytes
    private(set) var index = 0

    init(_ text: Bytes) { self.text = text }

    var isAtEnd: Bool { index == text.count }

    var next: UInt8? { index < text.count ? text[index] : nil }

    /// Steps over `byte`; false where something else comes.
    mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        index += 1
        return true
    }

    /// Steps over digits, as many as there are; `nil` where their number is not in `lengths`.
    ///
    /// At most 18 digits are allowed for, so that the value fits.
    mutating func number(_ lengths: ClosedRange<Int>) -> Int? {
        var value = 0
        let start = index
        while let digit = next.map({ $0 &- UInt8(ascii: "0") }), digit <= 9 {
            guard index - start < min(lengths.upperBound, 18) else { return nil }
            value = value * 10 + Int(digit)
            index += 1
        }
        return lengths.contains(index - start) ? value : nil
    }

    /// Steps over two digits that are not above `limit`.
    mutating func pair(upTo limit: Int) -> Int? {
        guard let value = number(2...2), value <= limit else { return nil }
        return value
    }
}

/// A day of the proleptic Gregorian calendar.
struct DateText {
    /// The astronomical year: 1 BC is 0, 44 BC is -43.
    var year = 0
    var month = 0
    var day = 0

    /// Reads a date without its era.
    init?(_ cursor: inout TextCursor) {
        guard let year = cursor.number(4...7), cursor.take(UInt8(ascii: "-")),
            let month = cursor.pair(upTo: 12), month > 0, cursor.take(UInt8(ascii: "-")),
            let day = cursor.pair(upTo: 31), day > 0
        else { return nil }
        self.year = year
        self.month = month
        self.day = day
    }

    /// Reads ` BC` where it stands; false where something else does.
    mutating func readEra(_ cursor: inout TextCursor) -> Bool {
        if cursor.isAtEnd { return true }
        guard cursor.take(UInt8(ascii: " ")), cursor.take(UInt8(ascii: "B")),
            cursor.take(UInt8(ascii: "C"))
        else { return false }
        year = 1 - year
        return cursor.isAtEnd
    }

    /// Days since 1970-01-01.
    var daysSinceEpoch: Int {
        // Years begin in March here, so that a leap day is the last day of one.
        let shifted = month > 2 ? year : year - 1
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}

/// A time of day.
struct TimeText {
    var seconds = 0
    /// Where its text stands.
    let range: Range<Int>
    var microseconds = 0

    init?(_ cursor: inout TextCursor) {
        let start = cursor.index
        guard let hour = cursor.pair(upTo: 24), cursor.take(UInt8(ascii: ":")),
            let minute = cursor.pair(upTo: 59), cursor.take(UInt8(ascii: ":")),
            let second = cursor.pair(upTo: 60)
        else { return nil }
        if cursor.take(UInt8(ascii: ".")) {
            let first = cursor.index
            guard var fraction = cursor.number(1...6) else { return nil }
            for _ in (cursor.index - first)..<6 { fraction *= 10 }
            microseconds = fraction
        }
        seconds = hour * 3600 + minute * 60 + second
        range = start..<cursor.index
    }
}

/// An offset from UTC.
struct OffsetText {
    /// Positive east of Greenwich.
    let seconds: Int
    let range: Range<Int>
    /// Whether it says hours alone, as PostgreSQL prints it where that is enough.
    let isHoursOnly: Bool

    init?(_ cursor: inout TextCursor) {
        let start = cursor.index
        let isNegative = cursor.take(UInt8(ascii: "-"))
        guard isNegative || cursor.take(UInt8(ascii: "+")), let hours = cursor.pair(upTo: 99)
        else { return nil }
        var total = hours * 3600
        isHoursOnly = cursor.next != UInt8(ascii: ":")
        var unit = 60
        while unit > 0, cursor.take(UInt8(ascii: ":")) {
            guard let value = cursor.pair(upTo: 59) else { return nil }
            total += value * unit
            unit /= 60
        }
        seconds = isNegative ? -total : total
        range = start..<cursor.index
    }
}

/// A length of time as IntervalStyle = iso_8601 prints it: `P1Y2M-3DT4H5M-6.7S`.
struct IntervalText {
    /// Microseconds, a month counted as 30.4375 days as Debezium does; clamped to what fits.
    let microseconds: Int64

    private static let month: Int128 = 2_629_800_000_000
    private static let day: Int128 = 86_400_000_000

    init?(_ text: Bytes) {
        var cursor = TextCursor(text)
        var total: Int128 = 0
        var isTime = false
        var fieldCount = 0
        guard cursor.take(UInt8(ascii: "P")) else { return nil }
        while !cursor.isAtEnd {
            if !isTime, cursor.take(UInt8(ascii: "T")) {
                isTime = true
                continue
            }
            let isNegative = cursor.take(UInt8(ascii: "-"))
            guard let whole = cursor.number(1...18) else { return nil }
            var fraction = 0
            let hasFraction = cursor.take(UInt8(ascii: "."))
            if hasFraction {
                let first = cursor.index
                guard let digits = cursor.number(1...6) else { return nil }
                fraction = digits
                for _ in (cursor.index - first)..<6 { fraction *= 10 }
            }
            guard let unit = Self.unit(&cursor, isTime), !hasFraction || unit == 1_000_000
            else { return nil }
            let amount = Int128(whole) * unit + Int128(fraction)
            total += isNegative ? -amount : amount
            fieldCount += 1
            guard fieldCount <= 6 else { return nil }
        }
        guard fieldCount > 0 else { return nil }
        microseconds = Int64(clamping: total)
    }

    private static func unit(_ cursor: inout TextCursor, _ isTime: Bool) -> Int128? {
        if cursor.take(UInt8(ascii: "M")) { return isTime ? 60_000_000 : month }
        if isTime {
            if cursor.take(UInt8(ascii: "H")) { return 3_600_000_000 }
            return cursor.take(UInt8(ascii: "S")) ? 1_000_000 : nil
        }
        if cursor.take(UInt8(ascii: "Y")) { return 12 * month }
        return cursor.take(UInt8(ascii: "D")) ? day : nil
    }
}
