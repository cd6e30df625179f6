// SPDX-License-Identifier: Apache-2.0
//
// A file that somebody wrote for walrelay, settings, datasources or a job, on its way to a reading:
// its text, and what is to be said of a file that others can read.

import ChangeModel

/// The text of a document, and where it came from.
struct DocumentFile {
    let path: String
    let text: String
    private let strangers: String?

    /// Reads a document of at most `YAMLDocument.byteLimit`; blocks.
    ///
    /// Throws what `unreadable` makes of the reason for which the file cannot be had, and what
    /// `invalid` makes of the place that is no text.
    init(
        path: String,
        unreadable: (_ reason: String) -> WalrelayError,
        invalid: (FaultLog) -> WalrelayError
    ) throws(WalrelayError) {
        let file: BoundedFile
        do {
            file = try BoundedFile(path: path, byteLimit: YAMLDocument.byteLimit)
        } catch {
            throw unreadable(error.reason)
        }
        do {
            text = try file.text()
        } catch {
            let faults = FaultLog()
            faults.add(error.position, error.message)
            throw invalid(faults)
        }
        self.path = path
        strangers = file.strangers
    }

    /// The directory that relative paths in the document start from.
    var directory: String { BoundedFile.directory(of: path) }

    /// A warning where strangers can read the passwords that stand in the document itself.
    ///
    /// `passwords` are their places, `way` is what else can be done than chmod.
    func warnings(ofPasswords passwords: [String], way: String) -> [String] {
        guard let strangers, !passwords.isEmpty else { return [] }
        let change = strangers == "everybody" ? "o-r" : "g-r"
        return [
            "\(path) is readable by \(strangers) and holds a password"
                + " (\(passwords.joined(separator: ", "))): run chmod \(change), or \(way)"
        ]
    }
}
