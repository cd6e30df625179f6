// SPDX-License-Identifier: Apache-2.0

extension Int64 {
    /// Parses a whole number as PostgreSQL prints it; `nil` for anything else.
    public init?(postgresText text: Span<UInt8>) {
        var index = 0
        let isNegative = text.count > 0 && text[0] == UInt8(ascii: "-")
        if isNegative { index = 1 }
        guard index < text.count else { return nil }
        var value: Int64 = 0
        while index < text.count {
            let digit = Int64(text[index]) - 0x30
            guard (0...9).contains(digit) else { return nil }
            // Downwards: the least number has no positive twin.
            let (tens, tooLarge) = value.multipliedReportingOverflow(by: 10)
            let (next, tooLow) = tens.subtractingReportingOverflow(digit)
            guard !tooLarge, !tooLow else { return nil }
            value = next
            index += 1
        }
        if !isNegative, value == .min { return nil }
        self = isNegative ? value : -value
    }
}
