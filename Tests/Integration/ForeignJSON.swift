// SPDX-License-Identifier: Apache-2.0
//
// What readers that are not ours make of what the daemon writes: Python's JSON, strictly, and
// Prometheus' own client. Texts come back as the hexadecimal digits of their bytes, so that no
// comparison of Swift's can take one for another.
import Support

/// Readers of Python.
enum ForeignJSON {
    /// The lines of events as `op schema table keys-of-before keys-of-after`, each text in
    /// hexadecimal digits, columns with commas, `-` for what is null or absent.
    ///
    /// Throws what the parser says of a line that is no JSON object or has a key twice.
    static func events(_ lines: String) throws -> [String] {
        try python(
            """
            import json, sys
            def once(pairs):
                if len({k for k, _ in pairs}) != len(pairs): raise ValueError(f"twice: {pairs}")
                return dict(pairs)
            def refuse(word): raise ValueError(word)
            def text(t): return t.encode("utf-8").hex()
            def keys(row): return "-" if row is None else ",".join(text(k) for k in row)
            for line in sys.stdin.buffer.read().decode("utf-8").split("\\n"):
                if not line: continue
                e = json.loads(line, object_pairs_hook=once, parse_constant=refuse)
                s = e["source"]
                print(e["op"], text(s["schema"]), text(s["table"]), keys(e.get("before")),
                      keys(e.get("after")))
            """,
            lines
        ).split(separator: "\n").map(String.init)
    }

    /// Throws unless each line is one JSON object.
    static func checkLines(_ lines: String) throws {
        try python(
            """
            import json, sys
            for line in sys.stdin.buffer.read().decode("utf-8").rstrip("\\n").split("\\n"):
                assert isinstance(json.loads(line), dict), line
            """,
            lines
        )
    }

    /// Throws unless the text is one JSON object.
    static func checkDocument(_ text: String) throws {
        try python(
            "import json, sys; assert isinstance(json.loads(sys.stdin.buffer.read()), dict)",
            text
        )
    }

    /// The values of a label in Prometheus' text, as hexadecimal digits.
    static func labels(_ label: String, of metric: String, in exposition: String) throws -> [String]
    {
        try python(
            """
            import sys
            from prometheus_client.parser import text_string_to_metric_families
            for family in text_string_to_metric_families(sys.stdin.buffer.read().decode("utf-8")):
                for sample in family.samples:
                    assert sample.name.startswith("walrelay_"), sample
                    if sample.name == sys.argv[1]:
                        print(sample.labels[sys.argv[2]].encode("utf-8").hex())
            """,
            exposition,
            [metric, label]
        ).split(separator: "\n", omittingEmptySubsequences: true).map(String.init)
    }

    /// Runs a program; throws what it said when it failed.
    @discardableResult
    static func python(
        _ program: String,
        _ input: String,
        _ arguments: [String] = []
    ) throws -> String {
        let output = try runProcess("/usr/bin/python3", ["-c", program] + arguments, input: input)
        guard output.status == .code(0) else {
            throw SupportError("python: \(output.status)\n\(output.stderr.suffix(3_000))")
        }
        return output.stdout
    }
}
