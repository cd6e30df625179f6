// SPDX-License-Identifier: Apache-2.0
//
// Names that attack: what somebody who may create a table can call it, and what people call things
// without any ill will. Each is a legal identifier of PostgreSQL: 1 to 63 bytes of UTF-8, no NUL.
// Names that are easily taken for one another stand next to each other.

/// Identifiers that would break whatever builds a text of another language from them.
public enum HostileNames {
    /// The most bytes that PostgreSQL keeps of a name.
    public static let byteLimit = 63

    /// So many names that differ in their bytes: the fixed ones first, then generated ones.
    public static func list(
        _ count: Int,
        using generator: inout some RandomNumberGenerator
    ) -> [String] {
        var names: [String] = []
        var seen: Set<[UInt8]> = []
        func add(_ name: String) {
            let cut = cut(name)
            if !cut.isEmpty, names.count < count, seen.insert(Array(cut.utf8)).inserted {
                names.append(cut)
            }
        }
        fixed.forEach(add)
        while names.count < count {
            let parts = (0..<Int.random(in: 1...6, using: &generator)).map { _ in
                pieces[Int.random(in: 0..<pieces.count, using: &generator)]
            }
            add(parts.joined())
        }
        return names
    }

    /// The text up to the last scalar that ends within the limit.
    private static func cut(_ name: String) -> String {
        var kept = String.UnicodeScalarView()
        var bytes = 0
        for scalar in name.unicodeScalars where scalar != "\0" {
            bytes += UTF8.width(scalar)
            if bytes > byteLimit { break }
            kept.append(scalar)
        }
        return String(kept)
    }

    private static let fixed = limits + sql + twins + markup + paths + controls + lookalikes

    private static let sql: [String] = [
        #"""#, #""""#, #"a"b"#, #"a""b"#, "'", "''", "a'b", "`", "``", #"\"#, #"\\"#, #"\'"#,
        #"\""#, ";", "; DROP TABLE ours.canary; --", #""; DROP TABLE ours.canary; --"#,
        "'; DROP TABLE ours.canary; --", #"")); DROP TABLE ours.canary; --"#, "--", "/*", "*/",
        "/* */", "$$", "$tag$", "$tag$ DROP $tag$", "$1", "%", "%s", "%n%n%n", "%I", "%%", ":name",
        ":'name'", "?", "*", "a.*", "a.b", #"a"."b"#, "a,b", "(", ")", "()", "[0]", "{a,b}",
        "select", "SELECT", "user", "table", "null", "NULL", "true", "default", "all", "only",
        "current_user", "U&\"\\0041\"", "E'\\n'", "x' OR '1'='1", "1", "123", "0x1f", "-1", "1e5",
        "NaN", "~", "!", "#", "&", "+", "=", "a=b", "@", "^", "|", "<", ">", "<>", "||",
    ]

    /// Each stands beside what it is taken for: case, normalisation, what cannot be seen.
    private static let twins: [String] = [
        "case", "Case", "CASE", "\u{e9}t\u{e9}", "e\u{301}te\u{301}", "\u{c5}", "A\u{30a}",
        "\u{212b}", "\u{1e69}", "s\u{323}\u{307}", "s\u{307}\u{323}", "\u{ac00}",
        "\u{1100}\u{1161}", "a", "\u{430}", "a\u{200b}", "a\u{200d}", "a\u{feff}", "a ", " a",
        "a\u{a0}", "\u{a0}a", "a\u{ad}", "ﬁ", "fi", "\u{3bc}", "\u{b5}", "ı", "i", "İ", "ß",
        "ss",
    ]

    private static let markup: [String] = [
        "<script>document.title='broken'</script>", "<img src=x onerror=alert(1)>", "</script>",
        "</td></tr>", "<!--", "-->", "&amp;", "&#60;", "]]>", "<![CDATA[", "{{7*7}}", "{{", "}}",
        "${HOME}", "$HOME", "$(id)", "`id`", "#{1+1}", "a\"} 1\nwalrelay_phase{task=\"b",
        "a\",\"b\":\"c", "\"}", "\\u0000", "\\n", "\\x00", "\\e[31m", "x\",evil=\"1",
        "=cmd|'/C'!A0",
    ]

    private static let paths: [String] = [
        ".", "..", "...", "../", "../../etc/passwd", "/etc/passwd", "/", "//", "a/b", "./a",
        ".hidden", "a.", "CON", "~root", "file:///etc/passwd", "http://127.0.0.1/", "a\\b", "-rf",
        "--config",
    ]

    private static let controls: [String] =
        (UInt8(1)...31).map { "c\(Unicode.Scalar($0))d" } + [
            "\n", "\r", "\r\n", "\t", " ", "  ", "\u{7f}", "\u{80}", "\u{85}", "\u{9b}31m",
            "\u{9d}0;t\u{9c}", "\u{1b}[31mred\u{1b}[0m", "\u{1b}[2J", "\u{1b}]0;title\u{7}",
            "\u{1b}]8;;http://x/\u{1b}\\x", "\u{8}\u{8}\u{8}", "walrelay: error\nwalrelay: ok",
            "a\nREADY=1", "a\n2026-01-01T00:00:00.000Z error forged", "\u{2028}", "\u{2029}",
            "\u{202e}gpj.exe", "\u{200f}", "\u{2066}x\u{2069}", "\u{61c}", "a\u{202e}b\u{202c}c",
            "\u{feff}", "\u{200b}", "\u{a0}", "\u{3000}", "\u{301}", "\"\u{301}", "'\u{301}",
            "a\u{301}\u{302}\u{303}\u{304}", "\u{1f600}", "\u{1f468}\u{200d}\u{1f469}",
            "\u{1f1e9}\u{1f1ea}", "\u{e000}", "\u{fffd}", "\u{fffe}", "\u{10ffff}", "\u{e0041}",
            "שלום", "مرحبا", "日本語", "Ω",
        ]

    private static let lookalikes: [String] = [
        "walrelay", "checkpoint", "dead_letter", "walrelay-checkpoint", "transaction", "heartbeat",
        "di_pub_names", "di_slot_names", "di_pub_", "before", "after", "source", "op", "ts_ms",
        "schema", "payload", "id", "__debezium_unavailable_value", "__dbz__physicalTableIdentifier",
        "information_schema", "constructor", "__proto__", "toString",
    ]

    private static let limits: [String] = [
        String(repeating: "x", count: 63), String(repeating: "x", count: 62) + "y",
        String(repeating: "\"", count: 63), String(repeating: "'", count: 63),
        String(repeating: "é", count: 31) + "z", "z" + String(repeating: "é", count: 31),
        String(repeating: "\u{1f600}", count: 15) + "abc", String(repeating: "\n", count: 63),
        String(repeating: "a", count: 60) + "€", String(repeating: "../", count: 21),
    ]

    private static let pieces: [String] =
        [
            "\"", "'", "`", "\\", ";", "--", "/*", "*/", "$$", "$a$", "%", "%s", "{{", "}}", "${A}",
            "<b>", "&lt;", "../", "/", ".", ",", " ", "\n", "\r", "\t", "\u{1}", "\u{1b}[1m",
            "\u{7f}",
            "\u{9b}", "\u{202e}", "\u{200f}", "\u{200b}", "\u{2028}", "\u{301}", "e\u{301}", "é",
            "😀",
            "日", "A", "a", "z", "0", "_", "-", "*", "?", "#", "=", ":", "@", "(", ")", "[", "]",
            "|",
            "drop", "select", "null", "x", "yy", "zzz",
        ]
}
