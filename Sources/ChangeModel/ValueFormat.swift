// SPDX-License-Identifier: Apache-2.0

/// How values that JSON has no type for are given; docs/types.md has the table.
public struct ValueFormat: Sendable, Equatable {
    /// numeric and money.
    public enum Decimals: String, Sendable, CaseIterable {
        /// The text as PostgreSQL prints it, in a JSON string.
        case string
        /// The unscaled value as base64 of big-endian two's complement, as Debezium's `precise`.
        case precise
        /// A JSON number with all its digits; a reader keeps what a double holds.
        case double
    }

    /// Dates, times and intervals.
    public enum Temporal: String, Sendable, CaseIterable {
        /// ISO 8601 strings.
        case iso
        /// Numbers since the epoch, as Debezium's `adaptive`.
        case epoch
    }

    /// bytea.
    public enum Binary: String, Sendable, CaseIterable {
        /// RFC 4648 base64 with padding.
        case base64
        /// Lower-case hexadecimal without a prefix.
        case hex
    }

    /// How numeric and money are given.
    public var decimals: Decimals
    /// How dates, times and intervals are given.
    public var temporal: Temporal
    /// How bytea is given.
    public var binary: Binary

    /// Creates a format; what is left out is as the settings have it by default.
    public init(
        decimals: Decimals = .string,
        temporal: Temporal = .iso,
        binary: Binary = .base64
    ) {
        self.decimals = decimals
        self.temporal = temporal
        self.binary = binary
    }
}
