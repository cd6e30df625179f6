// SPDX-License-Identifier: Apache-2.0
//
// The two shapes of a document: which steps there are, in which order, with which plug-ins, and
// what is told when they do not fit.

import ChangeModel
import Settings
import Testing

struct JobCase: CustomTestStringConvertible {
    let text: String
    let lines: [String]

    init(_ text: String, _ lines: String...) {
        self.text = text
        self.lines = lines
    }

    init(_ draft: JobDraft, _ lines: String...) {
        text = draft.text
        self.lines = lines
    }

    var testDescription: String { lines.first ?? "no fault" }
}

private let reader = #"{"category":"reader","name":"Reader","stepType":"stream","parameter":{}}"#
private let writer = #"{"category":"writer","name":"Writer","stepType":"stream","parameter":{}}"#

private func steps(_ steps: String..., order: String = "{}") -> String {
    "{\"steps\": [\n\(steps.joined(separator: ",\n"))\n], \"order\":\n\(order)}"
}

private func content(_ content: String) -> String { "{\"job\": {\"content\":\n\(content)}}" }

@Suite struct JobShapes {
    static let faulty: [JobCase] = [
        .init(
            "{}",
            "j:1:1: steps is missing: a list of a reader and a writer, or job in DataX's shape, is"
                + " required"
        ),
        .init(
            #"{"stpes": [], "type": "jobs"}"#,
            "j:1:1: steps is missing: a list of a reader and a writer, or job in DataX's shape, is"
                + " required",
            "j:1:2: unknown key \"stpes\" (did you mean \"steps\"?)",
            "j:1:15: type: \"jobs\" is not job, the only type there is"
        ),
        .init(
            #"{"version": "3.0", "steps": []}"#,
            "j:1:13: version: \"3.0\" is not 2.0, the version that is read",
            "j:1:20: steps: has no reader: one step of that category is required",
            "j:1:20: steps: has no writer: one step of that category is required"
        ),
        .init(
            steps(reader),
            "j:1:2: steps: has no writer: one step of that category is required"
        ),
        .init(
            steps(reader, writer, reader),
            "j:4:1: steps[2] is a second reader, beside steps[0]: a job has one reader and one"
                + " writer, make a job of each pair"
        ),
        .init(
            steps(reader, #"{"category": "writter", "stepType": "stream", "parameter": {}}"#),
            "j:3:14: steps[1].category: \"writter\" is neither reader nor writer (did you mean"
                + " \"writer\"?)"
        ),
        .init(
            steps(reader, #"{"stepType": "stream", "parameter": {}}"#),
            "j:3:1: steps[1].category is missing: reader or writer is required"
        ),
        .init(
            steps(#"{"category":"reader","stepType":"mysql","parameter":{"x": 1}}"#, writer),
            "j:2:22: steps[0].stepType: \"mysql\" is not supported: a reader is one of postgresql,"
                + " stream, postgresqlreader, streamreader"
        ),
        .init(
            steps(#"{"category":"reader","stepType":"postgressql","parameter":{}}"#, writer),
            "j:2:22: steps[0].stepType: \"postgressql\" is not supported: a reader is one of"
                + " postgresql, stream, postgresqlreader, streamreader (did you mean"
                + " \"postgresql\"?)"
        ),
        .init(
            steps(#"{"category":"reader","stepType":"postgresqlwriter","parameter":{}}"#, writer),
            "j:2:22: steps[0].stepType: \"postgresqlwriter\" is a writer, and this is the reader"
        ),
        .init(
            steps(#"{"category":"reader","stepType":"stream"}"#, writer),
            "j:2:1: steps[0].parameter is missing: a section of the step's parameters is required"
        ),
        .init(
            steps(reader, writer, order: #"{"hops": [{"from": "Raeder", "to": "Writer"}]}"#),
            "j:5:12: order.hops[0].from: \"Raeder\" is the name of no step (did you mean"
                + " \"Reader\"?)"
        ),
        .init(
            steps(reader, writer, order: #"{"hops": [{"from": "Writer", "to": "Reader"}]}"#),
            "j:5:12: order.hops[0].from: \"Writer\" is not the reader, \"Reader\" is",
            "j:5:30: order.hops[0].to: \"Reader\" is not the writer, \"Writer\" is"
        ),
        .init(
            steps(reader, writer, order: #"{"hops": [{"from": "Reader"}, {"to": "Writer"}]}"#),
            "j:5:2: order.hops: has 2 entries: a job has one, from reader to writer",
            "j:5:11: order.hops[0].to is missing: a text is required",
            "j:5:31: order.hops[1].from is missing: a text is required"
        ),
        .init(
            content("[]"),
            "j:1:10: job.content: has 0 entries: a job has one, make a job of each"
        ),
        .init(
            #"{"job": {}, "steps": []}"#,
            "j:1:9: job.content is missing: a list of one entry with a reader and a writer is"
                + " required",
            "j:1:13: steps: cannot stand beside job"
        ),
        .init(
            content(#"[{"reader": {"name": "streamreader", "parameter": {}}}]"#),
            "j:2:2: job.content[0].writer is missing: a section of name and parameter is required"
        ),
        .init(
            content(#"[{"reader": {"name": "streamreader", "parameter": {}}, "writer": 5}]"#),
            "j:2:66: job.content[0].writer must be a section of keys and values, not a text"
        ),
        .init(
            content(
                #"[{"reader": {"name": "streamreader", "parameter": {}}, "writer": {"name":"#
                    + #""streamwriter", "parameter": {}}, "transformer": [{"name": "dx_substr"}]}]"#
            ),
            "j:2:108: job.content[0].transformer: is not supported: put expressions into column"
        ),
    ]

    @Test(arguments: faulty)
    func `what does not fit is told with its place`(_ test: JobCase) {
        #expect(jobFaults(of: test.text) == test.lines)
    }

    @Test func `the shape of DataX is read with its own words`() throws {
        let text = """
            {"core": {"transport": {"channel": {"speed": {"byte": 1048576}}}},
             "job": {
              "setting": {
                "speed": {"channel": 3, "byte": "1048576", "record": -1},
                "errorLimit": {"record": 0, "percentage": 0.02}
              },
              "content": [{
                "reader": {"name": "postgresqlreader", "parameter": {
                  "username": "xx", "password": "yy", "column": ["id", "name"], "splitPk": "id",
                  "where": "id > 0",
                  "connection": [{
                    "table": ["a", "b"],
                    "jdbcUrl": ["jdbc:postgresql://host:1234/db"]
                  }]
                }},
                "writer": {"name": "postgresqlwriter", "parameter": {
                  "username": "uu", "password": "vv", "column": ["id", "name"],
                  "preSql": ["delete from test"],
                  "connection": [{"jdbcUrl": "jdbc:postgresql://127.0.0.1:3002/datax", "table": ["test"]}]
                }},
                "transformer": []
              }]
            }}
            """
        let job = try Job.parse(text, baseDirectory: "/", parameters: [:])
        #expect(job.warnings == ["these keys of the format do nothing here: core (line 1)"])
        #expect(job.speed.channels == 3)
        #expect(job.speed.bytesPerSecond == 1 << 20)
        #expect(job.speed.recordsPerSecond == nil)
        #expect(job.errorLimit.records == 0)
        #expect(job.errorLimit.share == 0.02)
        guard case .postgresql(let reader) = job.reader,
            case .postgresql(let writer) = job.writer
        else { throw WrongKind() }
        var source = Settings.Connection(
            .server(hosts: ["host"], ports: [1234], database: "db", user: "xx")
        )
        source.password = .literal(Secret("yy"))
        #expect(reader.server == .connection(source))
        var tables = Job.PostgreSQLReader.Tables(names: ["a", "b"], columns: ["id", "name"])
        tables.condition = "id > 0"
        tables.splitKey = "id"
        #expect(reader.content == .tables(tables))
        var target = Settings.Connection(
            .server(hosts: ["127.0.0.1"], ports: [3002], database: "datax", user: "uu")
        )
        target.password = .literal(Secret("vv"))
        #expect(writer.server == .connection(target))
        #expect(writer.table == "test")
        #expect(writer.preSQL == ["delete from test"])
    }

    @Test func `what the vendor's editor writes is taken and told`() throws {
        let text = """
            {"transform": false, "type": "job", "version": "2.0", "steps": [
              {"stepType": "postgresql", "name": "Reader", "category": "reader", "copies": 1,
               "parameter": {"partitionKey": null, "envType": 1, "useSpecialSecret": false,
                "column": ["a"], "where": "", "splitPk": "", "encoding": "UTF-8",
                "connection": [{"datasource": "s", "table": ["t"]}]}},
              {"copies": 1, "name": "Processor", "category": "processor", "stepType": null,
               "parameter": {"nodes": [], "edges": [], "groups": [], "version": "2.0"}},
              {"stepType": "stream", "name": "Writer", "category": "writer", "parameter": {}}],
             "setting": {"executeMode": null, "failoverEnable": null, "jvmOption": "-Xmx1g",
              "errorLimit": {"record": ""}, "speed": {"concurrent": 2, "throttle": false, "dmu": 1}},
             "order": {"hops": [{"from": "Reader", "to": "Writer"}]},
             "extend": {"mode": "wizard"}}
            """
        let job = try Job.parse(text, baseDirectory: "/", parameters: [:])
        #expect(
            job.warnings == [
                "these keys of the format do nothing here: transform (line 1),"
                    + " steps[0].copies (line 2), steps[0].parameter.envType (line 3),"
                    + " steps[0].parameter.useSpecialSecret (line 3),"
                    + " steps[0].parameter.encoding (line 4), steps[1].copies (line 6),"
                    + " setting.jvmOption (line 9), setting.speed.dmu (line 10), extend (line 12)"
            ]
        )
        #expect(job.errorLimit.records == nil)
        #expect(job.speed.channels == 2)
        #expect(
            job.datasourcePlaces == ["s": "job:5:21: steps[0].parameter.connection[0].datasource"]
        )
    }
}
