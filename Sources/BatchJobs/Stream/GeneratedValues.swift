// SPDX-License-Identifier: Apache-2.0
//
// Values that are made up, as COPY's text has them.

import Glibc
import Settings

/// Makes values up; belongs to one thread.
struct GeneratedValues {
    private static let letters = Array(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".utf8
    )

    private var numbers: SplitMix64

    init(seed: UInt64) {
        numbers = SplitMix64(state: seed)
    }

    /// Appends a value of a column.
    mutating func append(_ column: Job.StreamReader.Column, to record: inout [UInt8]) {
        switch column.value {
        case .constant(let text):
            CopyText.append(
                column.kind == .bytes ? text.map(Self.bytea) : text,
                to: &record
            )
        case .random(let range):
            append(column.kind, range, to: &record)
        }
    }

    private mutating func append(
        _ kind: Job.StreamReader.Column.Kind,
        _ range: ClosedRange<Int64>,
        to record: inout [UInt8]
    ) {
        switch kind {
        case .long:
            record.append(contentsOf: String(Int64.random(in: range, using: &numbers)).utf8)
        case .double:
            let bounds = Double(range.lowerBound)...Double(range.upperBound)
            record.append(contentsOf: "\(Double.random(in: bounds, using: &numbers))".utf8)
        case .string, .bytes:
            for _ in 0..<max(0, Int64.random(in: range, using: &numbers)) {
                let place = numbers.next().multipliedFullWidth(by: UInt64(Self.letters.count)).high
                record.append(Self.letters[Int(place)])
            }
        case .bool:
            let isTrue = isTrue(range)
            record.append(contentsOf: (isTrue ? "true" : "false").utf8)
        case .date:
            let text = Self.date(Int64.random(in: range, using: &numbers))
            record.append(contentsOf: text.utf8)
        }
    }

    /// The bounds of a boolean are weights, as DataX has it: how often false, how often true.
    private mutating func isTrue(_ range: ClosedRange<Int64>) -> Bool {
        let weights = (Double(max(0, range.lowerBound)), Double(max(0, range.upperBound)))
        guard weights.0 + weights.1 > 0 else { return Bool.random(using: &numbers) }
        return Double.random(in: 0..<(weights.0 + weights.1), using: &numbers) >= weights.0
    }

    /// A text as a bytea takes it: as it is, or in hexadecimal where a backslash would be read.
    private static func bytea(_ text: String) -> String {
        guard text.utf8.contains(UInt8(ascii: "\\")) else { return text }
        return text.utf8.reduce(into: "\\x") { result, byte in
            result += (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
    }

    /// Milliseconds since 1970 as a moment in UTC, with milliseconds only where there are some.
    static func date(_ milliseconds: Int64) -> String {
        func digits(_ value: Int, _ width: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
        }
        var (whole, rest) = milliseconds.quotientAndRemainder(dividingBy: 1_000)
        if rest < 0 { (whole, rest) = (whole - 1, rest + 1_000) }
        var seconds = time_t(whole)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let day = [
            digits(Int(parts.tm_year) + 1_900, 4), digits(Int(parts.tm_mon) + 1, 2),
            digits(Int(parts.tm_mday), 2),
        ]
        let time = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { digits(Int($0), 2) }
        return day.joined(separator: "-") + " " + time.joined(separator: ":")
            + (rest == 0 ? "" : "." + digits(Int(rest), 3))
    }
}

/// Steele, Lea and Flood's SplitMix64: made-up rows must be quick, not secret.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
