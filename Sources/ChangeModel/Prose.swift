// SPDX-License-Identifier: Apache-2.0
//
// Numbers and lists in sentences for the operator, the same in every room. Cold: for findings,
// errors and log lines.

/// How numbers and lists of names are put into sentences.
package enum Prose {
    /// Names with commas; of many only the first five and how many more.
    package static func list(_ names: [String]) -> String {
        let shown = names.prefix(5).joined(separator: ", ")
        return names.count > 5 ? "\(shown) and \(names.count - 5) more" : shown
    }

    /// `3 tables`, `1 table`.
    package static func count(_ number: Int, _ noun: String) -> String {
        "\(number) \(noun)\(number == 1 ? "" : "s")"
    }

    /// Bytes in the largest binary unit that leaves at least one: `12 MiB`.
    package static func bytes(_ count: Int64) -> String {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
        var unit = 0
        var value = count
        while value >= 1024 || value <= -1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return "\(value) \(units[unit])"
    }

    /// A time in its two largest units: `12 s`, `4 min 10 s`, `1 h`; below a second milliseconds.
    package static func time(milliseconds: Int64) -> String {
        milliseconds < 1000
            ? "\(max(0, milliseconds)) ms" : Quantity.time(seconds: milliseconds / 1000)
    }

    /// The candidates that a mistyped name is nearest to, the nearest first, at most three.
    ///
    /// Upper and lower case count as the same, so `Orders` finds `orders`.
    package static func nearest(to name: String, among candidates: [String]) -> [String] {
        let wanted = Array(name.lowercased().utf8.prefix(256))
        let limit = max(2, wanted.count / 4)
        return
            candidates
            .map { (distance(wanted, Array($0.lowercased().utf8.prefix(256)), limit: limit), $0) }
            .filter { $0.0 <= limit }
            .sorted { ($0.0, $0.1) < ($1.0, $1.1) }
            .prefix(3)
            .map(\.1)
    }

    /// Levenshtein's distance; anything above `limit` where it is above it.
    private static func distance(_ left: [UInt8], _ right: [UInt8], limit: Int) -> Int {
        guard abs(left.count - right.count) <= limit else { return limit + 1 }
        var row = Array(0...right.count)
        for (i, byte) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in right.enumerated() {
                let substituted = diagonal + (byte == other ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, row[j] + 1, diagonal + 1)
            }
            if row.allSatisfy({ $0 > limit }) { return limit + 1 }
        }
        return row[right.count]
    }
}

extension Duration {
    /// Milliseconds, cut off; those of 292 million years where there are more.
    package var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        return overflow ? .max : whole + attoseconds / 1_000_000_000_000_000
    }
}

extension String {
    /// At most `limit` characters of it; three dots say that there was more.
    package func cut(to limit: Int) -> String {
        count > limit ? prefix(limit) + "…" : self
    }
}
