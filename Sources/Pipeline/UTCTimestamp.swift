// SPDX-License-Identifier: Apache-2.0
//
// A moment as operators read it in logs and in /status. Written without Foundation, whose
// formatters cost more than the log line that they would head.

/// A moment in UTC to the millisecond, printed as `2026-01-02T03:04:05.678Z`.
public struct UTCTimestamp: Sendable, Equatable, CustomStringConvertible {
    /// Milliseconds since 1970-01-01 UTC.
    public var unixMilliseconds: Int64

    /// Creates the moment that lies the given milliseconds after 1970-01-01 UTC.
    public init(unixMilliseconds: Int64) {
        self.unixMilliseconds = unixMilliseconds
    }

    /// The present moment.
    public static var now: UTCTimestamp {
        UTCTimestamp(unixMilliseconds: BoardClock.system.unixMicroseconds() / 1000)
    }

    /// ISO 8601 with milliseconds and Z.
    public var description: String {
        let (days, rest) = Self.floorDivide(unixMilliseconds, by: 86_400_000)
        let (year, month, day) = Self.civil(fromDays: days)
        let text = Self.digits(year, 4) + "-" + Self.digits(month, 2) + "-" + Self.digits(day, 2)
        let hour = Self.digits(rest / 3_600_000, 2)
        let minute = Self.digits(rest / 60_000 % 60, 2)
        let second = Self.digits(rest / 1000 % 60, 2)
        return "\(text)T\(hour):\(minute):\(second).\(Self.digits(rest % 1000, 3))Z"
    }

    private static func digits(_ value: Int64, _ width: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
    }

    private static func floorDivide(_ value: Int64, by divisor: Int64) -> (Int64, Int64) {
        let rest = ((value % divisor) + divisor) % divisor
        return ((value - rest) / divisor, rest)
    }

    /// Howard Hinnant's days-to-civil: eras of 400 years, a year that begins in March.
    private static func civil(fromDays days: Int64) -> (Int64, Int64, Int64) {
        let (era, dayOfEra) = floorDivide(days + 719_468, by: 146_097)
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shifted + 2) / 5 + 1
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}
