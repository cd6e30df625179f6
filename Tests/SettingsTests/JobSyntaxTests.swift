// SPDX-License-Identifier: Apache-2.0
//
// The language of job documents: what is taken beyond JSON, and how what is no JSON is told.

import ChangeModel
import Foundation
import Settings
import Testing

struct JobSyntaxCase: CustomTestStringConvertible {
    let text: String
    let line: String

    init(_ text: String, _ line: String) {
        self.text = text
        self.line = line
    }

    var testDescription: String { line }
}

@Suite struct JobSyntax {
    static let faulty: [JobSyntaxCase] = [
        .init("", "j:1:1: the document is empty"),
        .init("  // nothing\n", "j:2:1: the document is empty"),
        .init("type: job", "j:1:1: a job document begins with {, not with \"t\""),
        .init("{\n\"a\": 1\n\"b\": 2}", "j:3:1: a comma is missing before this"),
        .init("{\"a\" 1}", "j:1:6: a colon is missing between the key \"a\" and its value"),
        .init("{\"a\": }", "j:1:7: a value is missing before this"),
        .init("{\"a\":", "j:1:6: the document ends where a value is due"),
        .init("{\"a\": [1,, 2]}", "j:1:10: nothing stands before this comma"),
        .init("{,}", "j:1:2: nothing stands before this comma"),
        .init("{\"a\": [1, 2}", "j:1:12: } closes nothing here: the [ of line 1, column 7 is open"),
        .init("{\n  \"a\": {\n", "j:2:8: this { is not closed"),
        .init("{\"a\": 1}\n} ", "j:2:1: the document ended before this, in line 1"),
        .init("{\"a\": \"b}", "j:1:7: the text that begins here lacks its closing quote"),
        .init(
            "{\"a\": [\"b,\n  \"c\"]}",
            "j:2:4: a comma is missing before this; or the text that begins in line 1, column 8"
                + " lacks its closing quote"
        ),
        .init(
            "{\"a\": orders}",
            "j:1:7: this needs quotes: only numbers, true, false and null go without"
        ),
        .init(
            "{\"a\": True}",
            "j:1:7: this needs quotes: only numbers, true, false and null go without"
                + " (did you mean \"true\"?)"
        ),
        .init("{\"a\": 1 # one\n}", "j:1:9: a comma is missing before this"),
        .init("{\"a\": # one\n1}", "j:1:7: a comment begins with //, not with #"),
        .init("{\"a\": /one\n1}", "j:1:7: a comment begins with //"),
        .init("{\"a\": 1 /* one }", "j:1:9: this comment is not closed"),
        .init("{\"a\": \u{201C}b\u{201D}}", "j:1:7: this quote is none of JSON's: write \" itself"),
        .init("{\"a\": 1, {}}", "j:1:10: a key in quotes is due here, not \"{\""),
        .init(
            "{\"a\": \"x ~ '\\d+'\"}",
            "j:1:13: \\d is no escape of JSON; a backslash itself is written \\\\"
        ),
        .init("{\"a\": \"\\u12x4\"}", "j:1:8: four hexadecimal digits belong behind \\u"),
        .init(
            "{\"a\": \"\\ud83d!\"}",
            "j:1:8: this is half of a character: \\u escapes of this kind come in pairs"
        ),
        .init("{\"a\": \"\u{1}\"}", "j:1:8: the character U+0001 is not allowed in a text"),
        .init(
            "{\"a\": 1.2.3}",
            "j:1:7: this needs quotes: only numbers, true, false and null go without"
        ),
        .init("[]", "j:1:1: a job document begins with {, not with \"[\""),
        .init(
            "{\"steps\": \(String(repeating: "[", count: 70))",
            "j:1:74: this is nested too deeply"
        ),
    ]

    @Test(arguments: faulty)
    func `what is no JSON is told with its place`(_ test: JobSyntaxCase) {
        #expect(jobFaults(of: test.text) == [test.line])
    }

    @Test func `comments, trailing commas and loose quotes are taken`() throws {
        let text = """
            \u{FEFF}/* a job */ {
              // "type": "x",
              type: 'job', 'version': "2.0", /* "steps": [] */
              "steps": [
                {"category":"reader","stepType":"stream","parameter":{"column":['a\\'b',],},},
                {"category":"writer","stepType":"stream","parameter":{"fieldDelimiter":"//",}},
              ],
            }// the end
            """
        let job = try Job.parse(text, baseDirectory: "/", parameters: [:])
        guard case .stream(let reader) = job.reader, case .stream(let writer) = job.writer else {
            throw WrongKind()
        }
        #expect(reader.columns == [.init(kind: .string, value: .constant("a'b"))])
        #expect(writer.delimiter == "//")
    }

    @Test(arguments: ["\n", "\r\n", "\r"])
    func `lines are counted whatever ends them`(_ end: String) {
        let text = ["{", "\"type\": \"a\\tb\",", "\"é\": \"😀\", x: 1", "}"].joined(separator: end)
        let lines = jobFaults(of: text)
        #expect(lines.contains { $0.hasPrefix("j:2:1: type: \"a\\tb\" is not job") })
        #expect(lines.contains { $0.hasPrefix("j:3:1: unknown key \"é\"") })
        #expect(lines.contains { $0.hasPrefix("j:3:11: unknown key \"x\"") })
    }

    @Test(arguments: [
        (#""a\/b\\c\"d""#, "a/b\\c\"d"), (#""\ud83d\ude00\u00e9""#, "😀é"),
        (#""tab\tline\n""#, "tab\tline\n"), ("\"two\nlines\"", "two\nlines"),
        ("\"joined \\\nlines\"", "joined lines"), ("\"a\tb\"", "a\tb"), ("1e3", "1e3"),
        ("-0.5", "-0.5"), ("true", "true"), ("''", ""),
    ])
    func `a value is read as JSON means it`(_ written: String, _ meant: String) throws {
        var draft = JobDraft()
        draft.readerPlugIn = "stream"
        draft.reader = "\"column\": [{\"value\": \(written)}]"
        let column = try draft.streamReader().columns.first
        #expect(column == .init(kind: .string, value: .constant(meant)))
    }

    @Test func `a key that is longer than YAML would take is taken`() throws {
        let name = String(repeating: "k", count: 5000)
        var draft = JobDraft()
        draft.writer =
            #""datasource":"d","table":"t","column":["*"],"pgType":{"\#(name)":"text"}"#
        #expect(try draft.postgreSQLWriter().types == [name: "text"])
    }

    @Test func `bytes that are not UTF-8 have a line and a column`() throws {
        try withDirectory { directory in
            let path = directory + "/j.json"
            try Data(Array("{\n\"ä\": \"".utf8) + [0xC3, 0x28]).write(
                to: URL(fileURLWithPath: path)
            )
            let error = #expect(throws: WalrelayError.self) {
                try Job.load(path: path, parameters: [:])
            }
            #expect(error?.message == "\(path):2:7: this is not UTF-8 text")
        }
    }

    @Test func `a file that cannot be had is named with the reason`() throws {
        try withDirectory { directory in
            let error = #expect(throws: WalrelayError.self) {
                try Job.load(path: directory + "/none.json", parameters: [:])
            }
            #expect(error?.code == "job.unreadable")
            #expect(error?.exit == .settings)
            #expect(
                error?.message
                    == "The job \(directory)/none.json cannot be read: No such file or directory."
            )
        }
    }
}
