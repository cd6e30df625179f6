// SPDX-License-Identifier: Apache-2.0
//
// The texts of a job document: quotes, escapes and parameters. A dollar begins a parameter only
// before "{", so that $$, $tag$ and $1 of SQL stay; `\u0024{` is a dollar and a brace.

/// A text with the parameters in it.
struct ScalarText {
    var text = ""
    /// The parameters that it took, in their order.
    var names: [String] = []
    /// Whether a parameter in it is not given.
    var isIncomplete = false

    /// Where it comes from, if not from the document alone.
    var origin: String? {
        names.isEmpty ? nil : names.map { "-p \($0)" }.joined(separator: " and ")
    }

    /// Adds what a parameter gave.
    mutating func append(_ other: ScalarText) {
        text += other.text
        names += other.names.filter { !names.contains($0) }
        isIncomplete = isIncomplete || other.isIncomplete
    }
}

/// The parameters of the command line, and which of them a document used.
final class JobParameters {
    /// The most bytes that all uses of parameters put into a document.
    private static let byteLimit = 16 << 20

    private let values: [String: String]
    private let faults: FaultLog
    private var used: Set<String> = []
    private var byteCount = 0

    init(_ values: [String: String], faults: FaultLog) {
        self.values = values
        self.faults = faults
    }

    /// The names that no text used, in order.
    var unused: [String] { values.keys.filter { !used.contains($0) }.sorted() }

    /// The value of a parameter; nil and a fault when it is not given.
    func value(of name: String, at position: Position) -> String? {
        if let value = values[name] {
            used.insert(name)
            byteCount += value.utf8.count
            if byteCount <= Self.byteLimit { return value }
            faults.add(position, "parameters make the job larger than \(Self.byteLimit >> 20) MiB")
            return nil
        }
        let nearest = nearestName(to: name, among: unused)
        faults.add(
            position,
            "the parameter \(shown(name)) is not given: add -p \(name)=VALUE"
                + (nearest.map { "; -p \($0) is given" } ?? "")
        )
        return nil
    }

    func fault(_ position: Position, _ message: String) {
        faults.add(position, message)
    }
}

extension JSONReader {
    /// Reads a text in quotes.
    mutating func text() throws(Fault) -> ScalarText {
        let start = place
        let quote = peek
        spanningText = nil
        advance()
        var text = ScalarText()
        while let next = peek {
            switch next {
            case quote:
                advance()
                if place.line > start.line { spanningText = start }
                return text
            case "\\":
                if let scalar = try escape() { text.text.unicodeScalars.append(scalar) }
            case "$":
                if let filled = try placeholder() {
                    text.append(filled)
                } else {
                    text.text.unicodeScalars.append(next)
                    advance()
                }
            default:
                // Statements over several lines are in use; other control characters are damage.
                guard next.value >= 0x20 || next == "\n" || next == "\r" || next == "\t" else {
                    throw fault("the character \(codeOf(next)) is not allowed in a text")
                }
                text.text.unicodeScalars.append(next)
                advance()
            }
        }
        throw fault("the text that begins here lacks its closing quote", at: start)
    }

    /// Reads what a backslash begins; nil when it stands before the end of a line.
    private mutating func escape() throws(Fault) -> Unicode.Scalar? {
        let start = place
        advance()
        guard let kind = peek else { return nil }
        advance()
        switch kind {
        case "\"", "'", "\\", "/": return kind
        case "b": return "\u{08}"
        case "f": return "\u{0C}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "\n": return nil
        case "\r":
            if peek == "\n" { advance() }
            return nil
        case "u": return try codePoint(from: start)
        default:
            throw fault(
                "\\\(kind) is no escape of JSON; a backslash itself is written \\\\",
                at: start
            )
        }
    }

    /// Reads the four digits behind `\u`, and those of the second half of a pair.
    private mutating func codePoint(from start: Position) throws(Fault) -> Unicode.Scalar {
        let first = try hexDigits(from: start)
        if let scalar = Unicode.Scalar(first) { return scalar }
        if first < 0xDC00, peek == "\\", second == "u" {
            advance()
            advance()
            let last = try hexDigits(from: start)
            if (0xDC00..<0xE000).contains(last),
                let scalar = Unicode.Scalar(0x1_0000 + ((first - 0xD800) << 10) + (last - 0xDC00))
            {
                return scalar
            }
        }
        throw fault(
            "this is half of a character: \\u escapes of this kind come in pairs",
            at: start
        )
    }

    private mutating func hexDigits(from start: Position) throws(Fault) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = peek, digit.isASCII, let number = Character(digit).hexDigitValue
            else {
                throw fault("four hexadecimal digits belong behind \\u", at: start)
            }
            value = value << 4 | UInt32(number)
            advance()
        }
        return value
    }

    /// Reads `${name}` and gives the parameter's value; nil when something else begins here.
    mutating func placeholder() throws(Fault) -> ScalarText? {
        guard let parameters, second == "{" else { return nil }
        let start = place
        var name = ""
        var end = index + 2
        while end < scalars.count, name.unicodeScalars.count <= 64, Self.isNamePart(scalars[end]) {
            name.unicodeScalars.append(scalars[end])
            end += 1
        }
        var result = ScalarText()
        guard end < scalars.count, scalars[end] == "}", !name.isEmpty else {
            parameters.fault(
                start,
                "\"${\" begins a parameter, as ${bizdate} is one; where a dollar and a brace are"
                    + " meant, write \\u0024{"
            )
            result.isIncomplete = true
            advance()
            advance()
            return result
        }
        while index <= end { advance() }
        result.names = [name]
        if let value = parameters.value(of: name, at: start) {
            result.text = value
        } else {
            result.isIncomplete = true
        }
        return result
    }
}
