// SPDX-License-Identifier: Apache-2.0
//
// Parameters of the command line in a document, and the dollars that are none.

import ChangeModel
import Settings
import Testing

@Suite struct JobParameterUse {
    @Test func `a parameter stands in a text, as a value, as a key`() throws {
        var draft = JobDraft()
        draft.reader = """
            "datasource": "${env}", "table": "${schema}.${table}", "column": ["id", "'${day}'"],
            "where": "day = '${day}'", "fetchSize": ${rows}
            """
        draft.writer = #""datasource":"d","table":"t","column":["*"],"pgType":{"${key}":"text"}"#
        draft.setting = #""speed": {"mbps": "1${zeros}.5", "concurrent": 1${one}}"#
        let values = [
            "env": "prod", "schema": "s", "table": "t", "day": "2026-11-22", "rows": "100",
            "key": "a", "zeros": "00", "one": "1",
        ]
        let tables = try draft.tables(values)
        #expect(tables.names == ["s.t"])
        #expect(tables.columns == ["id", "'2026-11-22'"])
        #expect(tables.condition == "day = '2026-11-22'")
        #expect(try draft.postgreSQLReader(values).server == .datasource("prod"))
        #expect(try draft.postgreSQLReader(values).fetchSize == 100)
        #expect(try draft.postgreSQLWriter(values).types == ["a": "text"])
        let job = try draft.job(values)
        #expect(job.speed.channels == 11)
        #expect(job.speed.bytesPerSecond == 105_381_888)
        #expect(job.warnings == [])
    }

    @Test(arguments: [
        "$$ $tag$ $1 $", "DO $$BEGIN NULL; END$$", "a$b", "price > $1", "'$$'", "$", "$$",
    ])
    func `a dollar that begins no parameter stands for itself`(_ text: String) throws {
        var draft = JobDraft()
        draft.reader = #""datasource":"s","table":"t","column":["a"],"where":"\#(text)""#
        #expect(try draft.tables(["tag": "x", "1": "y", "b": "z"]).condition == text)
    }

    @Test func `an escaped dollar begins no parameter, and one before a parameter stays`() throws {
        var draft = JobDraft()
        draft.reader =
            #""datasource":"s","table":"t","column":["a"],"where":"\u0024{a} $${b}$$""#
        #expect(try draft.tables(["b": "x"]).condition == "${a} $x$$")
    }

    @Test func `a parameter's text is text, whatever stands in it`() throws {
        var draft = JobDraft()
        draft.reader = #""datasource":"s","table":"t","column":["a"],"where":"x = ${v}""#
        let value = "'a\"b\\' // ${c} $$"
        #expect(try draft.tables(["v": value]).condition == "x = " + value)
    }

    @Test func `a parameter that is a whole value can be a list`() throws {
        var draft = JobDraft()
        draft.reader = #""datasource":"s","table":"t","column": ${columns}"#
        #expect(try draft.tables(["columns": #"["a", "b",]"#]).columns == ["a", "b"])
        #expect(
            draft.faults(["columns": "[a]"]) == [
                "j:2:40: the value of -p columns is no JSON: this needs quotes: only numbers,"
                    + " true, false and null go without"
            ]
        )
        #expect(
            draft.faults(["columns": "[[]]"]) == [
                "j:2:40: steps[0].parameter.column[0] must be a column, not a list"
            ]
        )
    }

    @Test func `an empty parameter is as if the key were not there`() throws {
        var draft = JobDraft()
        draft.reader =
            #""datasource":"s","table":"t","column":["a"],"where":"${w}","fetchSize":${f}"#
        let values = ["w": " ", "f": ""]
        #expect(try draft.tables(values).condition == nil)
        #expect(try draft.postgreSQLReader(values).fetchSize == nil)
    }

    @Test func `a parameter that is not given is a fault at each use, and the only one`() {
        var draft = JobDraft()
        draft.reader =
            #""datasource":"s","table":"t","column":["a"],"where":"d > '${bizdate}'","fetchSize":${rows}"#
        #expect(
            draft.faults(["bizdat": "1"]) == [
                "j:2:59: the parameter \"bizdate\" is not given: add -p bizdate=VALUE; -p bizdat is"
                    + " given",
                "j:2:84: the parameter \"rows\" is not given: add -p rows=VALUE",
            ]
        )
    }

    @Test(arguments: ["${", "${}", "${a b}", "${a"])
    func `what begins like a parameter and is none is a fault`(_ text: String) {
        var draft = JobDraft()
        draft.reader = #""datasource":"s","table":"t","column":["a"],"where":"\#(text)""#
        #expect(
            draft.faults(["a": "1"]) == [
                "j:2:54: \"${\" begins a parameter, as ${bizdate} is one; where a dollar and a"
                    + " brace are meant, write \\u0024{"
            ]
        )
    }

    @Test func `a fault says which parameter a value came from`() {
        var draft = JobDraft()
        draft.setting = #""speed": {"concurrent": "${n}"}"#
        #expect(
            draft.faults(["n": "many"]) == [
                "j:6:25: setting.speed.concurrent: \"many\", taken from -p n, is not a whole number"
            ]
        )
    }

    @Test func `a parameter in a comment counts for nothing, and one that is not used is told`()
        throws
    {
        var draft = JobDraft()
        draft.more = ", \"type\": \"job\" // ${nowhere}"
        #expect(
            try draft.job(["b": "1", "a": "2"]).warnings == [
                "the parameter -p a is used nowhere in j",
                "the parameter -p b is used nowhere in j",
            ]
        )
    }

    @Test func `parameters cannot make a document grow without bounds`() {
        var draft = JobDraft()
        let uses = String(repeating: "${v}", count: 100)
        draft.reader = #""datasource":"s","table":"t","column":["a"],"where":"\#(uses)""#
        let faults = draft.faults(["v": String(repeating: "x", count: 200_000)])
        #expect(faults.count == 17)
        #expect(
            faults.first?.hasSuffix("parameters make the job larger than 16 MiB") == true
        )
    }
}
