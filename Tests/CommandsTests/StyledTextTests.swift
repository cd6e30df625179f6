// SPDX-License-Identifier: Apache-2.0
//
// Columns of a terminal: what a text takes, where it is cut, and what a window has room for.

import Testing

@testable import Commands

@Suite struct StyledTextTests {
    @Test(
        arguments: [
            ("", 0), ("abc", 3), ("naïve", 5), ("e\u{301}", 1), ("表", 2), ("日本語", 6), ("😀", 2),
            ("한글", 4), ("ＡＢ", 4), ("שלום", 4), ("a\u{300}\u{301}\u{302}b", 2), ("…", 1), ("µs", 2),
        ]
    )
    func `a text takes columns`(text: String, columns: Int) {
        #expect(text.columns == columns)
    }

    @Test func `what does not fit is cut, and never half a letter`() {
        #expect("abcdef".cut(toColumns: 6) == "abcdef")
        #expect("abcdef".cut(toColumns: 5) == "abcd…")
        #expect("日本語".cut(toColumns: 5) == "日本…")
        #expect("日本語".cut(toColumns: 4) == "日…")
        #expect("abc".cut(toColumns: 1) == "…")
        #expect("abc".cut(toColumns: 0) == "")
        let line = StyledText("abc", .bad) + StyledText("def", .good) + "ghi"
        #expect(
            line.cut(toColumns: 5).rendered(isColoured: true)
                == "\u{1B}[31mabc\u{1B}[0m\u{1B}[32md…\u{1B}[0m"
        )
        #expect(line.cut(toColumns: 9).text == "abcdefghi")
        #expect(line.rendered(isColoured: false) == "abcdefghi")
    }

    @Test func `nothing unseen comes through, whatever the colours`() {
        let line = StyledText("a\u{1B}[2J\u{202e}b\n", .bad)
        #expect(line.text == "a\\u{1b}[2J\\u{202e}b\\n")
    }

    @Test func `columns are aligned by what they take`() {
        let rows: [[StyledText]] = [
            ["日本", "x", ""], ["a", StyledText("bb", .good), "c"], ["", "", ""],
        ]
        #expect(StyledText.table(rows).map(\.text) == ["日本  x", "a     bb  c", ""])
    }

    @Test func `a frame fills no more than the window`() {
        let lines = (0..<10).map { StyledText("line \($0) is long") }
        let frame = TerminalScreen.fit(lines, in: .init(rows: 4, columns: 8)).map(\.text)
        #expect(frame == ["line 0 …", "line 1 …", "line 2 …", "… and 7…"])
        #expect(TerminalScreen.fit(lines, in: .init(rows: 10, columns: 80)).count == 10)
        #expect(TerminalScreen.fit(lines, in: .init(rows: 1, columns: 80)).count == 1)
    }
}
