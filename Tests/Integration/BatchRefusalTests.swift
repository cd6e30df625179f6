// SPDX-License-Identifier: Apache-2.0
//
// A job for each parameter with values that are bad: one message that names the parameter, its
// place in the file and what is wrong, exit 78, and nothing written.
import Support
import Testing

@Suite(.serialized) struct BatchRefusalTests {
    /// A job, and what is said of it.
    struct Bad: Sendable, CustomTestStringConvertible {
        let name: String
        var reader: BatchParameters.Changes = [:]
        var writer: BatchParameters.Changes = [:]
        var setting: BatchParameters.Changes = [:]
        var code = "job.invalid"
        var exit: Int32 = 78
        let told: [String]

        var testDescription: String { name }

        /// A fault of the document: of the reader in line 5, the writer in 7, the setting in 9.
        static func reader(_ name: String, _ json: String, _ told: String...) -> Bad {
            Bad(name: "\(name): \(json)", reader: [name: json], told: ["job.json:5:", name] + told)
        }

        static func writer(_ name: String, _ json: String, _ told: String...) -> Bad {
            Bad(name: "\(name): \(json)", writer: [name: json], told: ["job.json:7:", name] + told)
        }

        static func setting(_ name: String, _ json: String, _ told: String...) -> Bad {
            Bad(name: "\(name): \(json)", setting: [name: json], told: ["job.json:9:"] + told)
        }
    }

    private static let document: [Bad] = [
        Bad(
            name: "no datasource",
            reader: ["datasource": ""],
            told: ["job.json:", "datasource"]
        ),
        .reader("datasource", "[]"),
        Bad(name: "no table", reader: ["table": ""], told: ["job.json:", "table"]),
        .reader("table", "{}"),
        .reader("table", "[]"),
        .reader("table", #""""#),
        Bad(name: "no column", reader: ["column": ""], told: ["job.json:", "column"]),
        .reader("column", "[]"),
        .reader("column", "[[]]"),
        .reader("column", #"[""]"#),
        .reader("where", "[]"),
        .reader("splitPk", #"["id"]"#),
        .reader("querySql", "{}"),
        .reader("fetchSize", "0"),
        .reader("fetchSize", "-1"),
        .reader("fetchSize", "1.5"),
        .reader("fetchSize", #""many""#, "many"),
        .reader("colunm", "[]", #"did you mean "column"?"#),
        .writer("table", "[]"),
        .writer("column", "[]"),
        .writer("writeMode", #""replace""#, "insert", "copy"),
        .writer("writeMode", "1"),
        .writer("batchSize", "0"),
        .writer("batchSize", #""x""#),
        .writer("batchByteSize", "0"),
        .writer("preSql", "{}"),
        .writer("postSql", "[[]]"),
        .writer("pgType", "[]"),
        .writer("uniqueKey", #"["id"]"#, "upsert"),
        Bad(
            name: "an upsert without a key",
            writer: ["writeMode": #""upsert""#],
            told: ["job.json:7:", "uniqueKey is missing"]
        ),
        Bad(
            name: "an update without a key",
            writer: ["writeMode": #""UPDATE""#],
            told: ["job.json:7:", "uniqueKey is missing"]
        ),
        .writer("pgType", #"{ "w": "text" }"#, "\"w\" is none of the columns"),
        .setting("errorLimit", #"{ "record": "x" }"#, "errorLimit.record"),
        .setting("errorLimit", #"{ "record": -1 }"#, "errorLimit.record"),
        .setting("errorLimit", #"{ "percentage": 1.5 }"#, "errorLimit.percentage"),
        .setting("errorLimit", #"{ "percentage": "x" }"#, "errorLimit.percentage"),
        .setting("errorLimit", #"{ "records": 1 }"#, #"did you mean "record"?"#),
        .setting("speed", #"{ "concurrent": 0 }"#, "speed.concurrent"),
        .setting("speed", #"{ "concurrent": "x" }"#, "speed.concurrent"),
        .setting("speed", #"{ "concurrent": 100000 }"#, "speed.concurrent"),
        .setting("speed", #"{ "mbps": 0 }"#, "speed.mbps"),
        .setting("speed", #"{ "mbps": "-1" }"#, "speed.mbps"),
        .setting("speed", #"{ "mbps": "fast" }"#, "speed.mbps"),
        .setting("speed", #"{ "record": 0 }"#, "speed.record"),
        .setting("speed", #"{ "byte": 0 }"#, "speed.byte"),
        .setting("speed", #"{ "throttle": "maybe" }"#, "speed.throttle"),
        .setting("speeed", "{}", #"did you mean "speed"?"#),
    ]

    private static let server: [Bad] = [
        Bad(
            name: "an unknown datasource",
            reader: ["datasource": #""sorce""#],
            code: "job.unknown_datasource",
            told: ["sorce", "source"]
        ),
        Bad(
            name: "a table that is not there",
            reader: ["table": #""orders""#],
            code: "job.table_missing",
            told: ["orders"]
        ),
        Bad(
            name: "a target's table that is not there",
            writer: ["table": #""orders""#],
            code: "job.table_missing",
            told: ["orders"]
        ),
        Bad(
            name: "a column that is not there",
            reader: ["column": #"["id", "vv"]"#],
            code: "job.column_missing",
            told: ["vv"]
        ),
        Bad(
            name: "a target's column that is not there",
            writer: ["column": #"["id", "vv"]"#],
            code: "job.column_missing",
            told: ["vv"]
        ),
        Bad(
            name: "a split key that is not there",
            reader: ["splitPk": #""idd""#],
            code: "job.column_missing",
            told: ["idd", "splitPk"]
        ),
        Bad(
            name: "a unique key that is not there",
            writer: [
                "table": #""keyed""#, "writeMode": #""upsert""#, "uniqueKey": #"["idd"]"#,
                "column": #"["*"]"#,
            ],
            code: "job.column_missing",
            told: ["idd"]
        ),
        Bad(
            name: "more columns than the target takes",
            reader: ["column": #"["id", "v", "1"]"#],
            code: "job.columns_unequal",
            told: ["3", "2"]
        ),
        Bad(
            name: "a condition with a syntax error",
            reader: ["where": #""id >> > 5""#],
            code: "job.sql",
            told: ["42601", "id >> > 5", "^"]
        ),
        Bad(
            name: "an expression with an unknown function",
            reader: ["column": #"["id", "nonesuch(v)"]"#],
            code: "job.sql",
            told: ["42883", "nonesuch(v)"]
        ),
        Bad(
            name: "a query with a syntax error, whose position is shown",
            reader: ["querySql": #""SELECT id, v FROMM t""#],
            code: "job.sql",
            told: ["querySql", "42601", "SELECT id, v FROMM t", "^"]
        ),
        Bad(
            name: "a statement before that fails",
            writer: ["preSql": #"["INSERT INTO marks VALUES ('a')", "DELET FROM t"]"#],
            code: "job.sql",
            told: ["preSql", "2", "DELET FROM t", "42601"]
        ),
        Bad(
            name: "a statement before that finds no table",
            writer: ["preSql": #"["TRUNCATE nowhere"]"#],
            code: "job.sql",
            told: ["preSql", "nowhere", "42P01"]
        ),
        Bad(
            name: "an unknown type",
            writer: ["pgType": #"{ "v": "varchra" }"#],
            code: "job.type_unknown",
            told: ["varchra"]
        ),
        Bad(
            name: "a type that only an insert can cast to",
            writer: ["pgType": #"{ "v": "jsonb" }"#, "writeMode": #""copy""#],
            code: "job.type_needs_insert",
            told: ["jsonb", "insert"]
        ),
        Bad(
            name: "an upsert without an index to go by",
            writer: ["writeMode": #""upsert""#, "uniqueKey": #"["id"]"#],
            code: "job.unique_key",
            told: ["CREATE UNIQUE INDEX"]
        ),
    ]

    /// Nothing is written by any of the jobs: one pair of databases serves them all.
    private static let shared = Task { try await BatchParameters.task("bad") }

    @Test(arguments: document + server)
    func `a bad value is told with its place, and nothing is written`(bad: Bad) async throws {
        let task = try await Self.shared.value
        let job = BatchParameters(reader: bad.reader, writer: bad.writer, setting: bad.setting)
        let end = try await task.run(job.document)
        end.outcome.expectRefusal(bad.exit, bad.code)
        for text in bad.told {
            #expect(end.outcome.stderr.contains(text), "\(text) in: \(end.outcome.stderr)")
        }
        #expect(try await task.target("SELECT count(*) FROM t") == "0")
    }

    @Test func `a statement after the rows that fails is told, and the rows stay`() async throws {
        let task = try await BatchParameters.task("bad_after")
        let sql = #"["INSERT INTO marks VALUES ('a')", "UPDATE t SET v = 1 / (id - 5)"]"#
        let job = BatchParameters(reader: [:], writer: ["postSql": sql], setting: [:])
        let end = try await task.run(job.document)
        end.outcome.expectRefusal(65, "job.sql", "postSql", "2", "22012", "1 / (id - 5)")
        #expect(try await task.target("SELECT count(*), max(v) FROM t") == "100|v99")
        #expect(try await task.target("SELECT * FROM marks") == "a")
        try await task.end()
    }

    @Test func `all faults of a document are told at once`() async throws {
        let task = try await BatchParameters.task("bad_all")
        let job = BatchParameters(
            reader: ["fetchSize": "0", "splitpk": #""id""#],
            writer: ["batchSize": "0"],
            setting: ["speed": #"{ "concurrent": 0 }"#]
        )
        let end = try await task.run(job.document)
        end.outcome.expectRefusal(78, "job.invalid", "fetchSize", "splitpk", "batchSize")
        #expect(end.outcome.stderr.contains("speed.concurrent"))
        try await task.end()
    }

    @Test func `rights that are missing and logins that are refused end with 77`() async throws {
        let task = try await BatchParameters.task("bad_rights")
        try await task.source("CREATE ROLE batch_reader LOGIN")
        let user = "batch_reader"
        let reader = task.source.conninfo(database: task.database, user: user)
        let writer = task.target.conninfo(database: task.targetDatabase)
        let servers = "source: { conninfo: '\(reader)' }\ntarget: { conninfo: '\(writer)' }\n"
        let job = BatchParameters(reader: [:], writer: [:], setting: [:]).document
        try task.files.write(servers, to: "datasources.yaml")
        let end = try await task.run(job)
        end.outcome.expectRefusal(77, "job.permission_denied", "42501", "GRANT SELECT")
        try await task.source("ALTER ROLE batch_reader NOLOGIN")
        let refused = try await task.run(job)
        refused.outcome.expectRefusal(77, "job.login_refused", "28000")
        try await task.source("DROP ROLE batch_reader")
        try await task.end()
    }
}
