// SPDX-License-Identifier: Apache-2.0
//
// Amounts as people read them, the same on a terminal, in a log and on the status page. Takes whole
// numbers, gives a number and its unit on one line; what is not known is a dash, never a zero.

/// How amounts are written.
package enum Quantity {
    /// What stands for a value that is not known.
    package static let unknown = "–"

    /// `1,234,567`.
    package static func count(_ number: Int) -> String {
        var text: [Character] = []
        for (index, digit) in String(number.magnitude).reversed().enumerated() {
            if index > 0, index.isMultiple(of: 3) { text.append(",") }
            text.append(digit)
        }
        return (number < 0 ? "-" : "") + String(text.reversed())
    }

    /// A rate: one decimal below ten, whole above; what no Int holds is unknown.
    package static func count(_ number: Double) -> String {
        if number.magnitude < 10 {
            let tenths = Int((number * 10).rounded())
            return tenths.isMultiple(of: 10) ? "\(tenths / 10)" : "\(Double(tenths) / 10)"
        }
        return Int(exactly: number.rounded()).map { count($0) } ?? unknown
    }

    /// Bytes with one decimal in the largest binary unit that fits: `12.5 MiB`, `3 bytes`.
    package static func bytes(_ count: Int64) -> String {
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB"]
        guard count.magnitude >= 1024 else {
            return "\(count) byte\(count == 1 ? "" : "s")"
        }
        var unit = 0
        var divisor: Int64 = 1024
        while (count / divisor).magnitude >= 1024, unit < units.count - 1 {
            unit += 1
            divisor <<= 10
        }
        // Cut off, not rounded: what is shown as more than a bound is more than the bound.
        let whole = count / divisor
        let tenths = (count % divisor).magnitude * 10 / divisor.magnitude
        return tenths == 0 ? "\(whole) \(units[unit])" : "\(whole).\(tenths) \(units[unit])"
    }

    /// A time in its two largest units: `3 d 4 h`, `12 s`.
    package static func time(seconds: Int64) -> String {
        let units: [(Int64, String)] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")]
        guard let first = units.firstIndex(where: { seconds >= $0.0 }) else { return "0 s" }
        let (size, name) = units[first]
        let text = "\(seconds / size) \(name)"
        guard first + 1 < units.count else { return text }
        let next = units[first + 1]
        let rest = seconds % size / next.0
        return rest == 0 ? text : "\(text) \(rest) \(next.1)"
    }

    /// A time that is only reckoned, no finer than it can be known: `45 s`, `8 min`, `2 h 10 min`.
    package static func estimate(seconds: Int) -> String {
        let grain = seconds < 60 ? 5 : seconds < 600 ? 30 : seconds < 7200 ? 60 : 600
        return time(seconds: Int64((max(1, seconds) - 1) / grain + 1) * Int64(grain))
    }

    /// Milliseconds up to ten seconds, then as a time.
    package static func time(milliseconds: Int64) -> String {
        milliseconds < 10_000
            ? "\(count(Int(clamping: milliseconds))) ms" : time(seconds: milliseconds / 1000)
    }

    /// Microseconds up to a millisecond, then milliseconds with one decimal, then as a time.
    package static func time(microseconds: Int64) -> String {
        switch microseconds {
        case ..<1000: "\(microseconds) µs"
        case ..<10_000: "\(Double(microseconds / 100) / 10) ms"
        default: time(milliseconds: microseconds / 1000)
        }
    }
}
