// SPDX-License-Identifier: Apache-2.0
//
// Text that may have come from a database made fit for one line of a log: no control character
// reaches a terminal, no value can forge a second line, and nothing grows without bound.

enum LogText {
    /// Bytes of a message or value that are kept; journald cuts lines at 48 KiB by itself.
    static let byteLimit = 8192

    /// Replaces control characters by escapes and leaves everything else.
    static func escapeControls(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f || $0 == 0xc2 || $0 == 0xe2 })
        else { return text }
        var escaped = ""
        for scalar in text.unicodeScalars { append(scalar, to: &escaped) }
        return escaped
    }

    /// A value of `key=value`: bare where that is unambiguous, quoted and escaped elsewhere.
    static func value(_ text: String) -> String {
        if !text.isEmpty, text.utf8.allSatisfy(isBare) { return text }
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            default: append(scalar, to: &quoted)
            }
        }
        return quoted + "\""
    }

    /// A JSON string with its quotes.
    static func json(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            case _ where isControl(scalar): quoted += "\\u" + hex(scalar, 4)
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    /// At most so many bytes, cut between characters and marked where cut.
    static func bounded(_ text: String, byteLimit: Int = byteLimit) -> String {
        guard text.utf8.count > byteLimit else { return text }
        var kept = ""
        var bytes = 0
        for scalar in text.unicodeScalars {
            bytes += UTF8.width(scalar)
            if bytes > byteLimit { break }
            kept.unicodeScalars.append(scalar)
        }
        return kept + "…"
    }

    private static func append(_ scalar: Unicode.Scalar, to text: inout String) {
        switch scalar {
        case "\n": text += "\\n"
        case "\r": text += "\\r"
        case "\t": text += "\\t"
        case _ where isControl(scalar): text += "\\u{" + hex(scalar, 2) + "}"
        default: text.unicodeScalars.append(scalar)
        }
    }

    /// C0, DEL, C1, and the two separators that some readers take for line ends.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
            || scalar.value == 0x2028 || scalar.value == 0x2029
    }

    private static func hex(_ scalar: Unicode.Scalar, _ width: Int) -> String {
        let digits = String(scalar.value, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }

    private static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x21, 0x23...0x3c, 0x3e...0x5b, 0x5d...0x7e: true
        default: false
        }
    }
}
