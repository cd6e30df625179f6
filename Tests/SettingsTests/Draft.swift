// SPDX-License-Identifier: Apache-2.0
//
// A settings text for tests: four valid lines, of which a test changes one, and lines after them.

import ChangeModel
import Foundation
import Settings
import Testing

struct Draft {
    var task = "orders"
    var source = "{ host: h, database: d }"
    var tables = "{ include: [a] }"
    var sink = "{ kind: stream }"
    var more = ""

    /// Lines 1 to 4, then `more` from line 5 on.
    var text: String {
        "task: \(task)\nsource: \(source)\ntables: \(tables)\nsink: \(sink)\n\(more)"
    }

    func settings(_ environment: [String: String] = [:]) throws -> Settings {
        try Settings.parse(text, file: "s", baseDirectory: "/etc/w", environment: environment)
    }

    func faults(_ environment: [String: String] = [:]) -> [String] {
        faultLines(of: text, environment)
    }
}

/// The lines of the error that a text gives; empty when it gives none.
func faultLines(of text: String, _ environment: [String: String] = [:]) -> [String] {
    do {
        _ = try Settings.parse(text, file: "s", baseDirectory: "/etc/w", environment: environment)
        return []
    } catch {
        #expect(error.code == "settings.invalid")
        #expect(error.exit == .settings)
        return error.message.split(separator: "\n").map(String.init)
    }
}

/// A directory that is removed after use.
func withDirectory(_ body: (String) throws -> Void) throws {
    let directory = FileManager.default.temporaryDirectory
        .appendingPathComponent("settings-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(
        atPath: directory,
        withIntermediateDirectories: true
    )
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try body(directory)
}

func write(_ text: String, to path: String, mode: Int = 0o600) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
}
