// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a document: all of it at once, by line, so that it is mended in one go.

import ChangeModel

/// A place in the file, both counted from 1; columns count Unicode scalars.
struct Position: Hashable, Comparable {
    var line = 1
    var column = 1

    static func < (first: Position, second: Position) -> Bool {
        (first.line, first.column) < (second.line, second.column)
    }
}

/// One thing that is wrong, and where; never holds the value of a secret.
struct Fault: Error {
    let position: Position
    let message: String
}

/// Why a text is not what is due: the end of a sentence that begins with the text.
struct Rejection: Error, Equatable {
    let reason: String

    init(_ reason: String) {
        self.reason = reason
    }
}

/// The faults of one reading, in the order in which they were met.
final class FaultLog {
    /// The most faults that are shown; a file of another kind altogether would give thousands.
    private static let shownLimit = 100

    private var faults: [Fault] = []

    var isEmpty: Bool { faults.isEmpty }

    func add(_ position: Position, _ message: String) {
        faults.append(Fault(position: position, message: message))
    }

    /// Every fault in a line of its own, `file:line:column: what is wrong`.
    func error(
        _ code: String = "settings.invalid",
        file: String,
        hint: String = "mend the lines above; config/example.yaml shows every setting"
    ) -> WalrelayError {
        // Sorting by position alone would leave the order within one position open.
        let sorted = faults.enumerated().sorted {
            ($0.element.position, $0.offset) < ($1.element.position, $1.offset)
        }
        var lines = sorted.prefix(Self.shownLimit).map { _, fault in
            "\(file.shown):\(fault.position.line):\(fault.position.column): \(fault.message)"
        }
        if sorted.count > lines.count {
            lines.append("\(file): and \(sorted.count - lines.count) more faults")
        }
        return WalrelayError(
            code,
            exit: .settings,
            lines.joined(separator: "\n"),
            hint: hint
        )
    }
}

/// A key as a fault shows it: up to where it is no key any more.
///
/// Where a colon lacks its blank, YAML takes `password:secret` for a key as a whole.
func shownKey(_ key: String) -> String {
    let name = nameOfKey(key)
    return name.utf8.count == key.utf8.count ? shown(key) : "\"\(name)…\""
}

/// The letters, digits, `_`, `-` and `.` that a key begins with.
func nameOfKey(_ key: String) -> String {
    String(
        String.UnicodeScalarView(
            key.unicodeScalars.prefix { scalar in
                scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
                    || ["_", "-", "."].contains(scalar)
            }
        )
    )
}

/// A text of the file as a fault shows it: in quotes, on one line, cut after 60 characters.
func shown(_ text: String) -> String {
    let start = String(String.UnicodeScalarView(text.unicodeScalars.prefix(60)))
    return "\"\(start.shown)" + (text.unicodeScalars.count > 60 ? "…\"" : "\"")
}
