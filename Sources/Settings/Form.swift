// SPDX-License-Identifier: Apache-2.0
//
// The forms that a scalar can have: what is due in words, and how it is read. A rejection
// completes the sentence that begins with the value, so that each fault says what it met.

/// What a scalar must look like, and what it becomes.
struct Form<Value> {
    /// What is due, with its article: "a size such as 8MiB".
    let noun: String
    /// Whether the value is kept out of faults.
    let isSecret: Bool
    /// Reads the value, which is never empty and holds no NUL.
    let read: (String) throws(Rejection) -> Value

    init(
        _ noun: String,
        isSecret: Bool = false,
        read: @escaping (String) throws(Rejection) -> Value
    ) {
        self.noun = noun
        self.isSecret = isSecret
        self.read = read
    }

    /// The same form, or one word that stands for the lack of a value.
    func or(_ word: String) -> Form<Value?> {
        Form<Value?>("\(noun), or \(word)", isSecret: isSecret) { text throws(Rejection) in
            if text == word { return nil }
            do throws(Rejection) {
                return try read(text)
            } catch {
                throw Rejection("\(error.reason); \(word) is allowed too")
            }
        }
    }

    /// The same form with a further step.
    func map<Other>(
        _ transform: @escaping (Value) throws(Rejection) -> Other
    ) -> Form<Other> {
        Form<Other>(noun, isSecret: isSecret) { text throws(Rejection) in
            try transform(try read(text))
        }
    }
}

extension Form where Value == Bool {
    /// `true` or `false`.
    static var boolean: Form {
        Form("true or false") { text throws(Rejection) in
            switch text {
            case "true": return true
            case "false": return false
            default: throw Rejection("is neither true nor false")
            }
        }
    }
}

extension Form where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One of an enumeration's names.
    static var choice: Form {
        let names = Value.allCases.map(\.rawValue)
        let list = names.joined(separator: ", ")
        return Form("one of \(list)") { text throws(Rejection) in
            if let value = Value(rawValue: text) { return value }
            let reason = names.count == 1 ? "is not \(list)" : "is not one of \(list)"
            throw Rejection(reason + suggestion(nearestName(to: text, among: names)))
        }
    }
}

extension Form where Value == Int {
    /// A whole number within bounds.
    static func integer(in bounds: ClosedRange<Int>) -> Form {
        Form("a whole number") { text throws(Rejection) in
            guard let digits = Digits(text[...]), digits.rest.isEmpty else {
                throw Rejection("is not a whole number")
            }
            guard let value = digits.value, bounds.contains(value) else {
                throw Rejection(
                    "is out of bounds: \(bounds.lowerBound) to \(bounds.upperBound)"
                )
            }
            return value
        }
    }

    /// A number of bytes within bounds.
    static func size(in bounds: ClosedRange<Int>) -> Form {
        Form("a size such as 8MiB") { text throws(Rejection) in
            let bytes = try amount(text, units: sizeUnits, kind: "a size such as 8MiB")
            guard let bytes, bounds.contains(bytes) else {
                throw Rejection(
                    "is out of bounds: \(sizeText(bounds.lowerBound)) to"
                        + " \(sizeText(bounds.upperBound))"
                )
            }
            return bytes
        }
    }
}

extension Form where Value == Duration {
    /// A time within bounds.
    static func duration(in bounds: ClosedRange<Duration>) -> Form {
        let kind = "a time such as 100ms, 10s, 5m or 24h"
        return Form(kind) { text throws(Rejection) in
            let milliseconds = try amount(text, units: durationUnits, kind: kind)
            guard let milliseconds, bounds.contains(.milliseconds(milliseconds)) else {
                throw Rejection(
                    "is out of bounds: \(durationText(bounds.lowerBound)) to"
                        + " \(durationText(bounds.upperBound))"
                )
            }
            return .milliseconds(milliseconds)
        }
    }
}

/// The end of a fault that names what was probably meant; empty when nothing is near.
func suggestion(_ nearest: String?) -> String {
    nearest.map { " (did you mean \(shown($0))?)" } ?? ""
}

private let sizeUnits = [
    ("B", 1), ("kB", 1000), ("KiB", 1 << 10), ("MB", 1_000_000), ("MiB", 1 << 20),
    ("GB", 1_000_000_000), ("GiB", 1 << 30), ("TB", 1_000_000_000_000), ("TiB", 1 << 40),
]

private let durationUnits = [
    ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
]

/// A run of ASCII digits at the start of a text, and what follows it.
private struct Digits {
    /// The number; nil when it does not fit an Int.
    let value: Int?
    let rest: Substring

    init?(_ text: Substring) {
        let digits = text.prefix { $0.isASCII && $0.isWholeNumber }
        guard !digits.isEmpty else { return nil }
        value = Int(digits)
        rest = text[digits.endIndex...]
    }
}

/// A number with a unit in the smallest unit; nil when it does not fit an Int.
///
/// A bare number is taken in the smallest unit of sizes; of times only 0 has no unit.
private func amount(
    _ text: String,
    units: [(name: String, factor: Int)],
    kind: String
) throws(Rejection) -> Int? {
    guard let digits = Digits(text[...]) else { throw Rejection("is not \(kind)") }
    let unit = digits.rest.first == " " ? digits.rest.dropFirst() : digits.rest
    if unit.isEmpty, units[0].name == "B" || digits.value == 0 { return digits.value }
    guard let factor = units.first(where: { $0.name == unit })?.factor else {
        let names = units.map(\.name)
        if unit.isEmpty {
            throw Rejection("lacks a unit: \(names.joined(separator: ", "))")
        }
        let nearest = names.first { $0.lowercased() == unit.lowercased() }
        throw Rejection(
            "is not \(kind)" + suggestion(nearest.map { "\(text.dropLast(unit.count))\($0)" })
        )
    }
    guard let value = digits.value else { return nil }
    let (product, overflow) = value.multipliedReportingOverflow(by: factor)
    return overflow ? nil : product
}

private func sizeText(_ bytes: Int) -> String {
    let unit = sizeUnits.filter { $0.0.hasSuffix("iB") }.last { bytes % $0.1 == 0 && bytes >= $0.1 }
    return unit.map { "\(bytes / $0.1)\($0.0)" } ?? "\(bytes)"
}

private func durationText(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let milliseconds = Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
    guard milliseconds != 0 else { return "0" }
    let unit = durationUnits.last { milliseconds % $0.1 == 0 && milliseconds >= $0.1 }
    return unit.map { "\(milliseconds / $0.1)\($0.0)" } ?? "\(milliseconds)ms"
}
