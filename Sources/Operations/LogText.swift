// SPDX-License-Identifier: Apache-2.0
//
// Text that may have come from a database made fit for one line of a log: what is not seen comes
// as an escape (ShownText), no value can forge a second line, and nothing grows without bound.

import ChangeModel

enum LogText {
    /// Bytes of a message or value that are kept; journald cuts lines at 48 KiB by itself.
    static let byteLimit = 8192

    /// A value of `key=value`: bare where that is unambiguous, quoted and escaped elsewhere.
    static func value(_ text: String) -> String {
        if !text.isEmpty, text.utf8.allSatisfy(isBare) { return text }
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case _ where scalar.isUnseen: quoted += scalar.escape
            default: quoted.unicodeScalars.append(scalar)
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
            case _ where scalar.isUnseen: quoted += scalar.jsonEscape
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    /// The text as `shown` has it: whole, cut to the limit, or to an eighth of it where escapes make
    /// it much longer than it is.
    static func fitting(_ text: String, _ shown: (String) -> String) -> String {
        let whole = shown(bounded(text))
        guard whole.utf8.count > 2 * byteLimit else { return whole }
        return shown(bounded(text, byteLimit: byteLimit / 8))
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

    private static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x21, 0x23...0x3c, 0x3e...0x5b, 0x5d...0x7e: true
        default: false
        }
    }
}
