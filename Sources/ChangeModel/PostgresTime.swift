// SPDX-License-Identifier: Apache-2.0

/// A moment as the replication protocol sends it: microseconds since 2000-01-01 00:00:00 UTC.
public struct PostgresTime: Sendable, Hashable, Comparable {
    /// Microseconds since 2000-01-01 00:00:00 UTC.
    public var microseconds: Int64

    /// Seconds between 1970-01-01 and 2000-01-01.
    public static let unixOffsetSeconds: Int64 = 946_684_800

    /// A moment from the protocol's own number.
    @inlinable
    public init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    /// A moment from microseconds since 1970-01-01; one that does not fit is clamped.
    public init(unixMicroseconds: Int64) {
        let (difference, overflow) = unixMicroseconds.subtractingReportingOverflow(
            Self.unixOffsetSeconds * 1_000_000
        )
        microseconds = overflow ? Int64.min : difference
    }

    /// Microseconds since 1970-01-01; one that does not fit is clamped.
    @inlinable
    public var unixMicroseconds: Int64 {
        let (sum, overflow) = microseconds.addingReportingOverflow(
            Self.unixOffsetSeconds * 1_000_000
        )
        return overflow ? Int64.max : sum
    }

    /// Whether one moment lies before another.
    public static func < (left: PostgresTime, right: PostgresTime) -> Bool {
        left.microseconds < right.microseconds
    }
}
