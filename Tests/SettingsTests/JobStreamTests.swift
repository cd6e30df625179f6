// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Settings
import Testing

private func draft(_ column: String, more: String = "") -> JobDraft {
    var draft = JobDraft()
    draft.readerPlugIn = "stream"
    draft.reader = "\"sliceRecordCount\": \"3\", \"column\": [\(column)]\(more)"
    return draft
}

@Suite struct JobStreamSteps {
    typealias Column = Job.StreamReader.Column

    @Test(arguments: [
        (#""x""#, Column(kind: .string, value: .constant("x"))),
        ("5", .init(kind: .string, value: .constant("5"))),
        ("null", .init(kind: .string, value: .constant(nil))),
        (#"{"value":""}"#, .init(kind: .string, value: .constant(""))),
        (#"{"type":"LONG","value":"-7"}"#, .init(kind: .long, value: .constant("-7"))),
        (#"{"type":"long","value":null}"#, .init(kind: .long, value: .constant(nil))),
        (#"{"type":"double","value":1.5e3}"#, .init(kind: .double, value: .constant("1.5e3"))),
        (#"{"type":"bool","value":"TRUE"}"#, .init(kind: .bool, value: .constant("true"))),
        (#"{"type":"bytes","value":"a"}"#, .init(kind: .bytes, value: .constant("a"))),
        (
            #"{"type":"date","value":"2014-07-07 01:02:03"}"#,
            .init(kind: .date, value: .constant("2014-07-07 01:02:03"))
        ),
        (
            #"{"type":"date","value":"7/8/2014 at 9.5","dateFormat":"d/M/yyyy 'at' H.m"}"#,
            .init(kind: .date, value: .constant("2014-08-07 09:05:00"))
        ),
        (
            #"{"type":"date","value":"20140708010203004","dateFormat":"yyyyMMddHHmmssSSS"}"#,
            .init(kind: .date, value: .constant("2014-07-08 01:02:03.004"))
        ),
        (#"{"type":"long","random":"-5, 10"}"#, .init(kind: .long, value: .random(-5...10))),
        (#"{"random":"1,2","value":""}"#, .init(kind: .string, value: .random(1...2))),
        (#"{"random":"2,2"}"#, .init(kind: .string, value: .random(2...2))),
        (
            #"{"type":"date","random":"1969-12-31 23:59:59, 2000-03-01 00:00:00"}"#,
            .init(kind: .date, value: .random(-1000...951_868_800_000))
        ),
        (
            #"{"type":"date","random":"0001-01-01,9999-12-31","dateFormat":"yyyy-MM-dd"}"#,
            .init(kind: .date, value: .random(-62_135_596_800_000...253_402_214_400_000))
        ),
    ])
    func `a column is a constant or a range`(_ written: String, _ column: Column) throws {
        let step = try draft(written).streamReader()
        #expect(step.columns == [column])
        #expect(step.rowsPerChannel == 3)
        #expect(try draft(written).job().warnings == [])
    }

    @Test(arguments: [
        ("{}", "value is missing: value, null for NULL, or random with two bounds, is required"),
        (#"{"type":"int"}"#, "type: \"int\" is not one of string, long, double, bool, date, bytes"),
        (
            #"{"type":"lnog"}"#,
            "type: \"lnog\" is not one of string, long, double, bool, date, bytes (did you mean \"long\"?)"
        ),
        (#"{"value":"a\u0000"}"#, "value: must not hold the character NUL"),
        (#""a\u0000""#, " must not hold the character NUL"),
        (#"{"type":"long","value":"x"}"#, "value: \"x\" is not a long"),
        (#"{"type":"double","value":"0x1"}"#, "value: \"0x1\" is not a double"),
        (#"{"type":"bool","value":1}"#, "value: \"1\" is neither true nor false"),
        (#"{"type":"string","value":[1]}"#, "value: must be a value, not a list"),
        (
            #"{"type":"long","random":"1"}"#,
            "random: \"1\" is not two bounds with a comma between them"
        ),
        (#"{"type":"long","random":"2,1"}"#, "random: \"2,1\" has its larger bound first"),
        (#"{"type":"long","random":"1,b"}"#, "random: \"b\" is not a whole number"),
        (#"{"random":"-1,5"}"#, "random: \"-1,5\" is out of bounds: 0 to 268435456"),
        (
            #"{"type":"date","value":"2014-02-29 00:00:00"}"#,
            "value: \"2014-02-29 00:00:00\" is no date of the calendar"
        ),
        (
            #"{"type":"date","value":"2014-07-07"}"#,
            "value: \"2014-07-07\" does not fit the pattern yyyy-MM-dd HH:mm:ss"
        ),
        (
            #"{"type":"date","value":"x","dateFormat":"yyyy-MM-ddTHH"}"#,
            "dateFormat: \"yyyy-MM-ddTHH\" has the letter T: known are y M d H m s S"
        ),
        (
            #"{"vlaue":1,"value":1}"#,
            "unknown key \"vlaue\" in steps[0].parameter.column[0] (did you mean \"value\"?)"
        ),
    ])
    func `a bad column is told`(_ written: String, _ reason: String) {
        let faults = draft(written).faults()
        #expect(faults.count == 1)
        #expect(faults.first?.hasSuffix(reason) == true, "\(faults)")
        #expect(faults.first?.contains("steps[0].parameter.column[0]") == true)
    }

    @Test func `a constant wins over a range, with a warning`() throws {
        let both = draft(#"{"type":"long","value":1,"random":"1,2"}"#)
        #expect(try both.streamReader().columns == [.init(kind: .long, value: .constant("1"))])
        #expect(
            try both.job().warnings == [
                "line 2: steps[0].parameter.column[0].random has no effect beside value"
            ]
        )
    }

    @Test func `without a count there are no rows, with a warning`() throws {
        var draft = JobDraft()
        draft.readerPlugIn = "streamreader"
        draft.reader = #""column": ["a"]"#
        #expect(try draft.streamReader().rowsPerChannel == 0)
        #expect(
            try draft.job().warnings == [
                "line 1: steps[0].parameter has no sliceRecordCount: the step makes no rows"
            ]
        )
        draft.reader = #""column": ["a"], "count": 5"#
        #expect(try draft.streamReader().rowsPerChannel == 5)
    }

    @Test func `a writer prints where it is asked to`() throws {
        var draft = JobDraft()
        draft.writerPlugIn = "streamwriter"
        draft.writer = #""print": "true", "fieldDelimiter": ",", "encoding": "UTF-8""#
        let writer = try draft.streamWriter()
        #expect(writer.prints)
        #expect(writer.delimiter == ",")
        draft.writer = ""
        #expect(try !draft.streamWriter().prints)
        #expect(try draft.streamWriter().delimiter == "\t")
        draft.writer = #""path": "/tmp", "fieldDelimiter": 5"#
        #expect(
            draft.faults() == [
                "j:4:1: steps[1].parameter.path: is not supported: print, and redirect the standard"
                    + " output"
            ]
        )
    }
}
