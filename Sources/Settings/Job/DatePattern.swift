// SPDX-License-Identifier: Apache-2.0
//
// Dates of generated rows, as patterns of Java's SimpleDateFormat spell them: the letters y M d H m
// s S, texts in single quotes, anything else as it is. Without a time zone: what is read is what is
// written.

/// How a document spells its dates.
struct DatePattern {
    /// A date and a time of day in the Gregorian calendar.
    struct Date {
        fileprivate(set) var fields: [Unicode.Scalar: Int] = ["y": 1970, "M": 1, "d": 1]

        fileprivate subscript(letter: Unicode.Scalar) -> Int { fields[letter] ?? 0 }

        /// Milliseconds since 1970.
        var milliseconds: Int64 {
            // Days from 0000-03-01, a year's first month being March.
            let year = Int64(self["M"] > 2 ? self["y"] : self["y"] - 1)
            let month = Int64((self["M"] + 9) % 12)
            let days =
                365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5
                + Int64(self["d"]) - 1 - 719_468
            let seconds = Int64(self["H"] * 3600 + self["m"] * 60 + self["s"])
            return (days * 86_400 + seconds) * 1000 + Int64(self["S"])
        }

        /// As PostgreSQL takes it.
        var text: String {
            func padded(_ letter: Unicode.Scalar, _ width: Int) -> String {
                let digits = String(self[letter])
                return String(repeating: "0", count: max(0, width - digits.count)) + digits
            }
            let day = "\(padded("y", 4))-\(padded("M", 2))-\(padded("d", 2))"
            let time = "\(padded("H", 2)):\(padded("m", 2)):\(padded("s", 2))"
            return self["S"] == 0 ? "\(day) \(time)" : "\(day) \(time).\(padded("S", 3))"
        }
    }

    private enum Part {
        case field(Unicode.Scalar, width: Int)
        case literal(Unicode.Scalar)
    }

    private static let letters = "yMdHmsS"
    private let pattern: String
    private var parts: [Part] = []

    /// `yyyy-MM-dd HH:mm:ss`.
    static let standard = Self(
        pattern: "yyyy-MM-dd HH:mm:ss",
        parts: [("y", 4, "-"), ("M", 2, "-"), ("d", 2, " "), ("H", 2, ":"), ("m", 2, ":")]
            .flatMap { [.field($0.0, width: $0.1), .literal($0.2)] } + [.field("s", width: 2)]
    )

    private init(pattern: String, parts: [Part]) {
        self.pattern = pattern
        self.parts = parts
    }

    /// Reads a pattern; the rejection completes a sentence on it.
    init(_ pattern: String) throws(Rejection) {
        self.pattern = pattern
        var isQuoted = false
        var before: Unicode.Scalar?
        for scalar in pattern.unicodeScalars {
            defer { before = scalar }
            if scalar == "'" {
                // Two quotes are a quote.
                if before == "'" { parts.append(.literal("'")) }
                isQuoted.toggle()
            } else if isQuoted || !scalar.properties.isAlphabetic {
                parts.append(.literal(scalar))
            } else if Self.letters.unicodeScalars.contains(scalar) {
                if scalar == before, case .field(scalar, let width) = parts.last {
                    parts[parts.count - 1] = .field(scalar, width: width + 1)
                } else {
                    parts.append(.field(scalar, width: 1))
                }
            } else {
                throw Rejection("has the letter \(scalar): known are y M d H m s S")
            }
        }
        guard !isQuoted else { throw Rejection("has a quote that is not closed") }
    }

    /// Reads a date; the rejection is a whole sentence.
    func date(of text: String) throws(Rejection) -> Date {
        var date = Date()
        var rest = text.unicodeScalars[...]
        for (index, part) in parts.enumerated() {
            switch part {
            case .literal(let scalar):
                guard rest.popFirst() == scalar else { throw misfit(text) }
            case .field(let letter, let width):
                var isFollowedByField = false
                if index + 1 < parts.count, case .field = parts[index + 1] {
                    isFollowedByField = true
                }
                // Fields that touch have their width, others as many digits as there are.
                let digits = rest.prefix(isFollowedByField ? width : 9) {
                    ("0"..."9").contains($0)
                }
                guard let number = Int(String(digits)) else { throw misfit(text) }
                date.fields[letter] = number
                rest = rest.dropFirst(digits.count)
            }
        }
        guard rest.isEmpty else { throw misfit(text) }
        guard isInCalendar(date) else {
            throw Rejection("\(shown(text)) is no date of the calendar")
        }
        return date
    }

    private func isInCalendar(_ date: Date) -> Bool {
        let year = date["y"]
        let isLeap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...9999).contains(year), (1...12).contains(date["M"]) else { return false }
        return (1...days[date["M"] - 1]).contains(date["d"]) && date["H"] < 24 && date["m"] < 60
            && date["s"] < 60 && date["S"] < 1000
    }

    private func misfit(_ text: String) -> Rejection {
        Rejection("\(shown(text)) does not fit the pattern \(pattern)")
    }
}

extension Substring.UnicodeScalarView {
    /// The first scalars that fit, at most so many.
    fileprivate func prefix(_ limit: Int, while fits: (Unicode.Scalar) -> Bool) -> Self {
        prefix(while: fits).prefix(limit)
    }
}
