// SPDX-License-Identifier: Apache-2.0
//
// Jobs that differ from a plain one in a parameter or two, and what a table of them needs: a
// source and a target with a column of each sort that the parameters are about.
import Support

/// A job that differs from the plain one, which copies the table t, in the parameters given.
struct BatchParameters: Sendable {
    /// A parameter's name and its JSON; empty JSON leaves it out.
    typealias Changes = KeyValuePairs<String, String>

    private var reader: [String: String] = [
        "datasource": #""source""#, "table": #""t""#, "column": #"["id", "v"]"#,
    ]
    private var writer: [String: String] = [
        "datasource": #""target""#, "table": #""t""#, "column": #"["id", "v"]"#,
    ]
    private var setting: [String: String] = ["errorLimit": #"{ "record": "0" }"#]

    init(reader: Changes, writer: Changes, setting: Changes) {
        for (name, json) in reader { self.reader[name] = json }
        for (name, json) in writer { self.writer[name] = json }
        for (name, json) in setting { self.setting[name] = json }
    }

    /// The job; the reader's parameters stand in line 5, the writer's in 7, the setting in 9.
    var document: BatchTask.Document {
        var job = BatchTask.Document()
        job.reader = Self.text(reader)
        job.writer = Self.text(writer)
        job.setting = Self.text(setting)
        return job
    }

    private static func text(_ parameters: [String: String]) -> String {
        parameters.filter { !$0.value.isEmpty }.sorted { $0.key < $1.key }
            .map { #""\#($0.key)": \#($0.value)"# }.joined(separator: ", ")
    }

    /// The databases, with a hundred rows to copy.
    static func task(_ name: String) async throws -> BatchTask {
        try await BatchTask(
            name,
            sql: """
                CREATE TABLE t (id int PRIMARY KEY, v text, "123Test" int, "select" int,
                    "Mixed" int);
                INSERT INTO t SELECT g, 'v' || g, g + 1, g + 2, g + 3
                    FROM generate_series(1, 100) g;
                CREATE TABLE u (LIKE t);
                INSERT INTO u SELECT id + 100, v, id, id, id FROM t;
                CREATE VIEW w AS SELECT id, v FROM t WHERE id <= 50;
                CREATE TABLE "T-2" (id int, v text);
                INSERT INTO "T-2" VALUES (1, 'odd');
                CREATE SCHEMA sales; CREATE TABLE sales.t (id int, v text);
                INSERT INTO sales.t VALUES (7, 'sold');
                ANALYZE
                """,
            targetSQL: """
                CREATE TABLE t (id int, v text, a int, b text);
                CREATE TABLE keyed (id int PRIMARY KEY, v text);
                INSERT INTO keyed SELECT g, 'old' FROM generate_series(51, 150) g;
                CREATE TABLE arrays (bigint_arr bigint[], double_arr double precision[],
                    text_arr text[], jsonb_obj jsonb, json_obj json);
                CREATE TABLE marks (mark text)
                """
        )
    }
}
