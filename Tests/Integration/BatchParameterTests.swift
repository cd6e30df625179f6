// SPDX-License-Identifier: Apache-2.0
//
// A job for each parameter with values that are good, and what each of them does.
import Support
import Testing

struct BatchParameterTests {
    /// A job, and what the target holds after it.
    struct Good: Sendable, CustomTestStringConvertible {
        let name: String
        var reader: BatchParameters.Changes = [:]
        var writer: BatchParameters.Changes = [:]
        var setting: BatchParameters.Changes = [:]
        var options: [String] = []
        /// A query on the target and its answer.
        var query = "SELECT count(*), sum(id), max(v) FROM t"
        var answer = "100|5050|v99"
        /// What has to be said in the log.
        var told = ""

        var testDescription: String { name }
    }

    private static let columns = [
        Good(
            name: "columns in another order",
            reader: ["column": #"["v", "id"]"#],
            writer: ["column": #"["v", "id"]"#]
        ),
        Good(
            name: "constants, as the page lists them",
            reader: ["column": #"["id", "'mingya.wmy'", "1", "'null'"]"#],
            writer: ["column": #"["id", "v", "a", "b"]"#],
            query: "SELECT count(*), v, a, b FROM t GROUP BY v, a, b",
            answer: "100|mingya.wmy|1|null"
        ),
        Good(
            name: "numbers and truth",
            reader: ["column": #"["id", "2.3", "true", "null"]"#],
            writer: ["column": #"["id", "v", "b", "a"]"#],
            query: "SELECT DISTINCT v, b, a IS NULL FROM t",
            answer: "2.3|t|t"
        ),
        Good(
            name: "expressions",
            reader: ["column": #"["id", "to_char(id + 1, 'FM000')", "id % 7 + 1"]"#],
            writer: ["column": #"["id", "v", "a"]"#],
            query: "SELECT v, a FROM t WHERE id = 9",
            answer: "010|3"
        ),
        Good(
            name: "a quoted name that begins with a digit",
            reader: ["column": #"["id", "\"123Test\""]"#],
            writer: ["column": #"["id", "a"]"#],
            query: "SELECT sum(a - id) FROM t",
            answer: "100"
        ),
        Good(
            name: "reserved words and mixed case without quotes",
            reader: ["column": #"["id", "select", "Mixed"]"#],
            writer: ["column": #"["id", "a", "v"]"#],
            query: "SELECT sum(a - id), sum(v::int - id) FROM t",
            answer: "200|300"
        ),
        Good(
            name: "an asterisk in its place",
            reader: ["column": #"["*"]"#, "table": #""w""#],
            query: "SELECT count(*), max(id) FROM t",
            answer: "50|50"
        ),
        Good(
            name: "all columns of the target",
            reader: ["column": #"["id", "v", "1", "'b'"]"#],
            writer: ["column": #"["*"]"#],
            query: "SELECT count(*), a, b FROM t GROUP BY a, b",
            answer: "100|1|b"
        ),
    ]

    private static let reading = [
        Good(name: "a table with its schema", reader: ["table": #""public.t""#]),
        Good(
            name: "another schema's table",
            reader: ["table": #""sales.t""#],
            answer: "1|7|sold"
        ),
        Good(name: "a name in quotes", reader: ["table": #""\"T-2\"""#], answer: "1|1|odd"),
        Good(
            name: "two tables",
            reader: ["table": #"["t", "u"]"#],
            setting: ["speed": #"{ "concurrent": 2 }"#],
            answer: "200|20100|v99"
        ),
        Good(name: "a view", reader: ["table": #""w""#], answer: "50|1275|v9"),
        Good(
            name: "a condition with OR beside a split",
            reader: ["where": #""id <= 10 OR id > 95 -- and no more""#, "splitPk": #""id""#],
            setting: ["speed": #"{ "concurrent": 3 }"#],
            answer: "15|545|v99"
        ),
        Good(
            name: "empty texts",
            reader: ["where": #""""#, "splitPk": #""""#, "querySql": #""""#]
        ),
        Good(
            name: "a key that is text",
            reader: ["splitPk": #""v""#],
            setting: ["speed": #"{ "concurrent": "4" }"#]
        ),
        Good(
            name: "a query overrides all else",
            reader: [
                "querySql": #""SELECT a.id, b.v FROM t a JOIN u b ON b.id = a.id + 100;""#,
                "where": #""nonsense""#, "table": #""none""#, "splitPk": #""none""#,
            ]
        ),
        Good(
            name: "several queries",
            reader: ["querySql": #"["SELECT 1, 'one'", "SELECT id, v FROM w"]"#],
            answer: "51|1276|v9"
        ),
        Good(name: "a small cursor", reader: ["fetchSize": #""7""#]),
        Good(name: "a large cursor", reader: ["fetchSize": "100000"]),
        Good(
            name: "keys that do nothing here",
            reader: ["encoding": #""UTF-8""#],
            told: "encoding"
        ),
    ]

    private static let writing = [
        Good(name: "copy", writer: ["writeMode": #""copy""#]),
        Good(name: "insert", writer: ["writeMode": #""insert""#]),
        Good(
            name: "upsert",
            writer: [
                "table": #""keyed""#, "writeMode": #""upsert""#, "uniqueKey": #"["id"]"#,
            ],
            query: "SELECT count(*), count(*) FILTER (WHERE v = 'old') FROM keyed",
            answer: "150|50"
        ),
        Good(
            name: "update",
            writer: [
                "table": #""keyed""#, "writeMode": #""update""#, "uniqueKey": #""id""#,
            ],
            query: "SELECT count(*), count(*) FILTER (WHERE v = 'old') FROM keyed",
            answer: "100|50"
        ),
        Good(name: "small batches", writer: ["batchSize": #""10""#, "batchByteSize": "100"]),
        Good(
            name: "statements before and after",
            writer: [
                "preSql": #"["DELETE FROM marks", "INSERT INTO marks VALUES ('before')"]"#,
                "postSql": #""INSERT INTO marks SELECT count(*) FROM t""#,
            ],
            query: "SELECT string_agg(mark, ' ' ORDER BY ctid) FROM marks",
            answer: "before 100"
        ),
        Good(
            name: "a table that is made before",
            writer: [
                "table": #""made""#, "preSql": #"["CREATE TABLE made (id int, v text)"]"#,
            ],
            query: "SELECT count(*) FROM made",
            answer: "100"
        ),
        Good(
            name: "the page's types",
            reader: [
                "column": """
                ["'{1,2}'", "'{1.5}'", "'{\\"a b\\",c}'", "'{\\"k\\": 1}'", "'[1]'"]
                """
            ],
            writer: [
                "table": #""arrays""#,
                "column": #"["bigint_arr", "double_arr", "text_arr", "jsonb_obj", "json_obj"]"#,
                "pgType": """
                {"bigint_arr": "bigint[]", "double_arr": "double[]", "text_arr": "text[]", \
                "jsonb_obj": "jsonb", "json_obj": "json"}
                """,
            ],
            query: "SELECT DISTINCT bigint_arr[2], double_arr, text_arr[1], jsonb_obj, "
                + "json_obj::text FROM arrays",
            answer: #"2|{1.5}|a b|{"k": 1}|[1]"#
        ),
    ]

    private static let settings = [
        Good(name: "an allowance", setting: ["errorLimit": #"{ "record": 5 }"#]),
        Good(name: "a share", setting: ["errorLimit": #"{ "percentage": "0.5" }"#]),
        Good(name: "no limit", setting: ["errorLimit": ""]),
        Good(
            name: "throttled, as the page has it",
            setting: ["speed": #"{ "throttle": true, "concurrent": 1, "mbps": "12" }"#]
        ),
        Good(
            name: "not throttled: a rate of nothing at all would take for ever",
            setting: ["speed": #"{ "throttle": "false", "mbps": "0.000001" }"#]
        ),
        Good(name: "records a second", setting: ["speed": #"{ "record": "1000" }"#]),
        Good(
            name: "a value from the command line",
            reader: ["where": #""id <= ${last}""#],
            options: ["-p", "last=10"],
            answer: "10|55|v9"
        ),
    ]

    @Test(arguments: columns + reading + writing + settings)
    func `a good value does what it says`(good: Good) async throws {
        let task = try await BatchParameters.task("good")
        let job = BatchParameters(reader: good.reader, writer: good.writer, setting: good.setting)
        let end = try await task.runWell(job.document, good.options)
        #expect(try await task.target(good.query) == good.answer, "\(end.text)")
        if !good.told.isEmpty { #expect(end.text.contains(good.told)) }
        try await task.end()
    }
}
