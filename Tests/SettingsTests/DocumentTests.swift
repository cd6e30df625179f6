// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Settings
import Testing

@Suite struct Documents {
    @Test(arguments: [
        ("", "s:1:1: the file is empty: task, source, tables and sink are required"),
        ("# only this\n", "s:1:1: the file is empty: task, source, tables and sink are required"),
        ("- a\n", "s:1:1: the settings must be a section of keys and values, not a list"),
        (
            "task: a\nsource: {\n",
            "s:3:1: this is not YAML: did not find expected node content, while parsing a flow node"
        ),
        (
            "task: a\n\tb: c\n",
            "s:2:1: this is not YAML: found a tab character that violates indentation, while"
                + " scanning a plain scalar; a tab cannot indent, use spaces"
        ),
        (
            "task: a\nb: c: d\n",
            "s:2:5: this is not YAML: mapping values are not allowed in this context"
        ),
        (
            "a: *b\n",
            "s:1:4: this is not YAML: found undefined alias; a pattern that begins with * needs"
                + " quotes"
        ),
        (
            "a: *.b\n",
            "s:1:5: this is not YAML: did not find expected alphabetic or numeric character,"
                + " while scanning an alias; a pattern that begins with * needs quotes"
        ),
        ("task: a\nb: x\u{7}\n", "s:2:5: the character U+0007 is not allowed"),
        ("task: 'ä\u{1F600}\u{0}'\n", "s:1:10: the character U+0000 is not allowed"),
    ])
    func `what is no YAML has a line and a column`(_ text: String, _ line: String) {
        #expect(faultLines(of: text) == [line])
    }

    @Test func `a second document is a fault beside the first one's`() {
        #expect(
            Draft(more: "log: { level: x }\n---\ntask: b\n").faults() == [
                "s:5:15: log.level: \"x\" is not one of trace, debug, info, notice, warning, error",
                "s:7:1: a second YAML document begins before this; a settings file is one document",
            ]
        )
    }

    @Test func `document marks, comments, a byte order mark and CR LF do not matter`() throws {
        let plain = try Draft().settings()
        let dressed =
            "\u{FEFF}---\r\n# c\r\n"
            + Draft().text.split(separator: "\n").joined(separator: " # c\r\n") + "\r\n...\r\n"
        let settings = try Settings.parse(dressed, baseDirectory: "/", environment: [:])
        #expect(settings == plain)
        #expect(
            faultLines(of: dressed.split(separator: "task").joined(separator: "tusk")).contains(
                "s:3:1: unknown key \"tusk\" (did you mean \"task\"?)"
            )
        )
    }

    @Test func `an alias stands for what it names`() throws {
        let settings = try Draft(
            source: "&db { host: h, database: d }",
            sink: "{ kind: postgresql, postgresql: *db }"
        ).settings()
        #expect(settings.sink == .postgresql(.init(connection: settings.source)))
    }

    @Test func `aliases are bounded, so that nested ones cannot grow`() {
        var text = "a0: &a0 [x, x]\n"
        for level in 1...40 {
            text += "a\(level): &a\(level) [*a\(level - 1), *a\(level - 1)]\n"
        }
        text += "? *a40\n: 1\n"
        #expect(faultLines(of: text) == ["s:10:10: more than 16 aliases; write the settings out"])
    }

    @Test func `stars in quotes and comments are no aliases`() throws {
        let comments = (0..<40).map { "  # *note \($0)\n" }.joined()
        let patterns = (0..<40).map { "\"*x\($0)\"" }.joined(separator: ", ")
        let settings = try Draft(tables: "{ include: [\(patterns)] }", more: comments).settings()
        #expect(settings.tables.include.count == 40)
    }

    @Test func `deep nesting and a text over 1 MiB are refused`() {
        let deep = String(repeating: "[", count: 5000)
        #expect(faultLines(of: deep) == ["s:1:1: this is nested too deeply"])
        let closed =
            "x: " + String(repeating: "[", count: 900) + String(repeating: "]", count: 900) + "\n"
        #expect(
            Draft(more: closed).faults().first?.hasPrefix("s:5:1: unknown key \"x\"") == true
        )
        let large = "#" + String(repeating: "x", count: 1 << 20)
        #expect(faultLines(of: large) == ["s:1:1: the text is larger than 1024 KiB"])
    }

    @Test func `more doubled keys than are looked behind are still a fault`() {
        let more = (0..<40).map { "k\($0): 1\nk\($0): 2\n" }.joined()
        let lines = Draft(more: more).faults()
        #expect(lines.count == 1)
        #expect(lines.first?.hasSuffix("stands twice") == true)
    }
}
