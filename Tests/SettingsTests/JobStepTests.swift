// SPDX-License-Identifier: Apache-2.0
//
// The parameters of the postgresql steps and the setting: what each takes, and what is told of bad
// values.

import ChangeModel
import Settings
import Testing

private func reader(_ parameters: String) -> JobDraft {
    var draft = JobDraft()
    draft.reader = parameters
    return draft
}

private func writer(_ parameters: String) -> JobDraft {
    var draft = JobDraft()
    draft.writer = parameters
    return draft
}

private func setting(_ setting: String) -> JobDraft {
    var draft = JobDraft()
    draft.setting = setting
    return draft
}

private let target = #""datasource":"d","table":"t","column":["a","b"]"#

@Suite struct JobSteps {
    @Test(arguments: [
        (#""public.a""#, ["public.a"]), (#"["a", "b.c"]"#, ["a", "b.c"]), (#""a, b""#, ["a", "b"]),
        (#""\"a,b\",c""#, ["\"a,b\"", "c"]), (#""t[8-10]""#, ["t8", "t9", "t10"]),
        (#""s.t_[08-10]x""#, ["s.t_08x", "s.t_09x", "s.t_10x"]), (#""t[2-1]""#, ["t1", "t2"]),
        (#""\"t[0-1]\"""#, ["\"t[0-1]\""]),
    ])
    func `tables are a name, a list or a range`(_ written: String, _ names: [String]) throws {
        let draft = reader("\"datasource\":\"s\",\"column\":[\"*\"],\"table\": \(written)")
        #expect(try draft.tables().names == names)
    }

    @Test func `columns keep their order and their spelling`() throws {
        let draft = reader(
            #""datasource":"s","table":"t","column":["id","table","1","'a.b'","'null'","to_char(a+1)","2.3","true",1,false,"*",{"name":"n","type":"text"}]"#
        )
        #expect(
            try draft.tables().columns == [
                "id", "table", "1", "'a.b'", "'null'", "to_char(a+1)", "2.3", "true", "1", "false",
                "*", "n",
            ]
        )
        #expect(try reader(#""datasource":"s","table":"t","column":"*""#).tables().columns == ["*"])
    }

    @Test func `querySql takes the place of table, column and where`() throws {
        let draft = reader(
            #""datasource":"s","table":"t","column":[],"where":"x","splitPk":"id","querySql":["select 1;","","select 2"],"fetchSize":"512""#
        )
        // An empty list of columns is told all the same.
        #expect(draft.faults().count == 1)
        let valid = reader(
            #""datasource":"s","splitPk":"id","querySql":"select 1", "fetchSize":"512""#
        )
        #expect(try valid.postgreSQLReader().content == .queries(["select 1"]))
        #expect(try valid.postgreSQLReader().fetchSize == 512)
        #expect(
            try valid.job().warnings == [
                "line 2: steps[0].parameter.splitPk has no effect beside querySql"
            ]
        )
    }

    @Test func `a writer's parameters are taken, numbers as texts too`() throws {
        let draft = writer(
            #"\#(target),"writeMode":"UPSERT","uniqueKey":"a","preSql":"x","postSql":["y"," ",null,"z"],"batchSize":"2048","batchByteSize":1048576,"pgType":{"b":"jsonb"},"dirtyRecords":"d.json""#
        )
        let step = try draft.postgreSQLWriter()
        #expect(step.mode == .upsert)
        #expect(step.uniqueKey == ["a"])
        #expect(step.preSQL == ["x"])
        #expect(step.postSQL == ["y", "z"])
        #expect(step.batchRows == 2048)
        #expect(step.batchBytes == 1 << 20)
        #expect(step.types == ["b": "jsonb"])
        #expect(try draft.job().dirtyRecordsFile == "/etc/w/d.json")
    }

    @Test func `rates and channels are taken in the words of both shapes`() throws {
        #expect(try setting("").job().speed == Job.Speed())
        let own = try setting(#""speed":{"mbps":"0.5","concurrent":"8","throttle":"true"}"#).job()
        #expect(own.speed.bytesPerSecond == 1 << 19)
        #expect(own.speed.channels == 8)
        let other = try setting(#""speed":{"byte":100,"record":"7","channel":2}"#).job()
        #expect(other.speed.bytesPerSecond == 100)
        #expect(other.speed.recordsPerSecond == 7)
        #expect(other.speed.channels == 2)
        let off = try setting(#""speed":{"throttle":false,"mbps":1,"record":1}"#).job()
        #expect(off.speed == Job.Speed())
        #expect(off.warnings == [])
        #expect(
            try setting(#""speed":{"throttle":true,"mbps":""}"#).job().warnings == [
                "line 6: setting.speed.throttle has no effect without mbps"
            ]
        )
        let limit = try setting(
            #""errorLimit":{"record":"5","percentage":"1"},"dirtyRecords":"/d""#
        )
        .job()
        #expect(limit.errorLimit.records == 5)
        #expect(limit.errorLimit.share == 1)
        #expect(limit.dirtyRecordsFile == "/d")
    }

    @Test func `two files for dirty records are a fault, one named twice is none`() throws {
        var draft = writer(#"\#(target),"dirtyRecords":"a""#)
        draft.setting = #""dirtyRecords":"/etc/w/a""#
        #expect(try draft.job().dirtyRecordsFile == "/etc/w/a")
        draft.setting = #""dirtyRecords":"b""#
        #expect(
            draft.faults() == [
                "j:1:1: dirtyRecords names \"/etc/w/b\" in setting and \"/etc/w/a\" in the writer:"
                    + " there is one file"
            ]
        )
    }

    static let faulty: [JobCase] = [
        .init(
            reader(#""datasource":"","table":"","column":[]"#),
            "j:2:1: steps[0].parameter.datasource has no value: a datasource's name, or connection"
                + " with jdbcUrl, is required",
            "j:2:17: steps[0].parameter.table has no value: a table, or querySql, is required",
            "j:2:28: steps[0].parameter.column: must not be empty: [\"*\"] stands for all columns"
        ),
        .init(
            reader(#""datasource":"s""#),
            "j:1:92: steps[0].parameter.table is missing: a table, or querySql, is required",
            "j:1:92: steps[0].parameter.column is missing: a list of columns, [\"*\"] for all, is"
                + " required"
        ),
        .init(
            reader(#""datasource":"s","table":[],"column":"a,b","wher":"x","spiltPk":"id""#),
            "j:2:18: steps[0].parameter.table: names no table",
            "j:2:38: steps[0].parameter.column must be a list, each entry a column, not a text",
            "j:2:44: unknown key \"wher\" in steps[0].parameter (did you mean \"where\"?)",
            "j:2:55: unknown key \"spiltPk\" in steps[0].parameter (did you mean \"splitPk\"?)"
        ),
        .init(
            reader(#""datasource":"s","table":["a","b","a"],"column":["a",""," ",null,["x"]]"#),
            "j:2:18: steps[0].parameter.table: names \"a\" twice: its rows would be read twice",
            "j:2:54: steps[0].parameter.column[1] must not be empty",
            "j:2:57: steps[0].parameter.column[2] must not be empty",
            "j:2:61: steps[0].parameter.column[3] must be a column, it has no value",
            "j:2:66: steps[0].parameter.column[4] must be a column, not a list"
        ),
        .init(
            reader(#""datasource":"s","table":"t[0-10000]","column":["a"],"fetchSize":0"#),
            "j:2:18: steps[0].parameter.table: names more than 10000 tables",
            "j:2:66: steps[0].parameter.fetchSize: \"0\" is out of bounds: 1 to 2147483647"
        ),
        .init(
            reader(#""datasource":"s","table":"t","column":["a"],"where":"a\u0000","dryRun":true"#),
            "j:2:53: steps[0].parameter.where: must not hold the character NUL",
            "j:2:63: steps[0].parameter.dryRun: is not read from the job: run it with --dry-run"
        ),
        .init(
            writer(#"\#(target),"batchSize":0,"batchByteSize":"1XB","writeMode":"replace""#),
            "j:4:61: steps[1].parameter.batchSize: \"0\" is out of bounds: 1 to 1000000",
            "j:4:79: steps[1].parameter.batchByteSize: \"1XB\" is not a size such as 8MiB",
            "j:4:97: steps[1].parameter.writeMode: \"replace\" is not one of insert, copy, upsert,"
                + " update; upsert with uniqueKey replaces rows"
        ),
        .init(
            writer(#"\#(target),"writeMode":"upsrt""#),
            "j:4:61: steps[1].parameter.writeMode: \"upsrt\" is not one of insert, copy, upsert,"
                + " update (did you mean \"upsert\"?)"
        ),
        .init(
            writer(#"\#(target),"writeMode":"update""#),
            "j:3:85: steps[1].parameter.uniqueKey is missing: a list of the columns by which update"
                + " finds a row is required"
        ),
        .init(
            writer(#"\#(target),"writeMode":"update","uniqueKey":["b","a"]"#),
            "j:4:70: steps[1].parameter.uniqueKey: holds every column: there is none left to update"
        ),
        .init(
            writer(#"\#(target),"uniqueKey":["aa"],"pgType":{"\"b\"":"text","c":"text"}"#),
            "j:4:49: steps[1].parameter.uniqueKey: \"aa\" is none of the columns that are written",
            "j:4:49: steps[1].parameter.uniqueKey: belongs to writeMode upsert or update, not to"
                + " insert",
            "j:4:68: steps[1].parameter.pgType: \"c\" is none of the columns that are written"
        ),
        .init(
            writer(#""datasource":"d","table":["a","b"],"column":["*"]"#),
            "j:4:18: steps[1].parameter.table: names 2 tables: a writer writes one"
        ),
        .init(
            setting(
                #""errorLimit":{"record":"x","percentage":2},"speed":{"mbps":0,"concurrent":0}"#
            ),
            "j:6:24: setting.errorLimit.record: \"x\" is not a whole number",
            "j:6:41: setting.errorLimit.percentage: \"2\" is out of bounds: 0 to 1, where 0.02 is two"
                + " of a hundred",
            "j:6:60: setting.speed.mbps: \"0\" is out of bounds: more than 0 megabytes a second;"
                + " without mbps there is no bound",
            "j:6:75: setting.speed.concurrent: \"0\" is out of bounds: 1 to 1024"
        ),
        .init(
            setting(#""errorLimit":{"record":-1},"speed":{"mbps":"12MB","byte":0,"channel":1025}"#),
            "j:6:24: setting.errorLimit.record: \"-1\" is not a whole number",
            "j:6:44: setting.speed.mbps: \"12MB\" is not a number of megabytes such as 12",
            "j:6:51: setting.speed.byte: cannot stand beside setting.speed.mbps",
            "j:6:58: setting.speed.byte: \"0\" is out of bounds: 1 to 9223372036854775807",
            "j:6:70: setting.speed.channel: \"1025\" is out of bounds: 1 to 1024"
        ),
        .init(
            setting(
                #""speed":{"throttle":"maybe","cuncurrent":2},"errorlimit":{},"dryRun":"true""#
            ),
            "j:6:21: setting.speed.throttle: \"maybe\" is neither true nor false",
            "j:6:29: unknown key \"cuncurrent\" in setting.speed (did you mean \"concurrent\"?)",
            "j:6:45: unknown key \"errorlimit\" in setting (did you mean \"errorLimit\"?)",
            "j:6:61: setting.dryRun: is not read from the job: run it with --dry-run"
        ),
    ]

    @Test(arguments: faulty)
    func `each bad value is told with its place and what is allowed`(_ test: JobCase) {
        #expect(jobFaults(of: test.text) == test.lines)
    }
}
