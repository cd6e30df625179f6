// SPDX-License-Identifier: Apache-2.0
//
// Dates and times: a text, its JSON as ISO 8601, and its JSON as a number since the epoch.

import ChangeModel
import Sink
import Testing

/// A type, its text, and its JSON in both temporal formats.
struct Moment: Sendable, CustomTestStringConvertible {
    let type: ValueType
    let text: String
    let iso: String
    let epoch: String

    init(_ type: ValueType, _ text: String, _ iso: String, _ epoch: String) {
        self.type = type
        self.text = text
        self.iso = iso
        self.epoch = epoch
    }

    var testDescription: String { "\(type) \(text)" }
}

private let timestamp = ValueType.timestamp(precision: 6)
private let zoned = ValueType.timestampWithZone(precision: 6)
private let timetz = ValueType.timeWithZone(precision: 6)

@Suite struct TemporalTableTests {
    @Test(arguments: [
        Moment(.date, "1970-01-01", #""1970-01-01""#, "0"),
        Moment(.date, "2024-02-29", #""2024-02-29""#, "19782"),
        Moment(.date, "1969-12-31", #""1969-12-31""#, "-1"),
        Moment(.date, "0044-03-15 BC", #""-0043-03-15""#, "-735160"),
        Moment(.date, "0001-01-01 BC", #""0000-01-01""#, "-719528"),
        Moment(.date, "4713-01-01 BC", #""-4712-01-01""#, "-2440550"),
        Moment(.date, "10000-01-01", #""+10000-01-01""#, "2932897"),
        Moment(.date, "5874897-12-31", #""+5874897-12-31""#, "2145042905"),
        Moment(.date, "infinity", #""infinity""#, #""infinity""#),
        Moment(.date, "-infinity", #""-infinity""#, #""-infinity""#),
        Moment(.time(precision: 6), "00:00:00", #""00:00:00""#, "0"),
        Moment(.time(precision: 6), "12:34:56.5", #""12:34:56.5""#, "45296500000"),
        Moment(.time(precision: 3), "12:34:56.5", #""12:34:56.5""#, "45296500"),
        Moment(.time(precision: 6), "24:00:00", #""24:00:00""#, "86400000000"),
        Moment(timetz, "01:01:01+00", #""01:01:01Z""#, #""01:01:01Z""#),
        Moment(timetz, "24:00:00+05:30", #""24:00:00+05:30""#, #""24:00:00+05:30""#),
        Moment(timetz, "12:00:00.25+02", #""12:00:00.25+02:00""#, #""12:00:00.25+02:00""#),
        Moment(
            timetz,
            "01:02:03.5-15:59:59",
            #""01:02:03.5-15:59:59""#,
            #""01:02:03.5-15:59:59""#
        ),
    ])
    func `dates and times of day`(moment: Moment) throws {
        try expect(moment)
    }

    @Test(arguments: [
        Moment(timestamp, "1970-01-01 00:00:00", #""1970-01-01T00:00:00""#, "0"),
        Moment(
            timestamp,
            "2024-01-01 12:34:56.123456",
            #""2024-01-01T12:34:56.123456""#,
            "1704112496123456"
        ),
        Moment(timestamp, "2024-01-01 12:34:56.1", #""2024-01-01T12:34:56.1""#, "1704112496100000"),
        Moment(
            .timestamp(precision: 3),
            "2024-01-01 12:34:56.12",
            #""2024-01-01T12:34:56.12""#,
            "1704112496120"
        ),
        Moment(
            .timestamp(precision: 0),
            "1969-12-31 23:59:59",
            #""1969-12-31T23:59:59""#,
            "-1000"
        ),
        Moment(
            timestamp,
            "0044-03-15 12:34:56.5 BC",
            #""-0043-03-15T12:34:56.5""#,
            "-63517778703500000"
        ),
        Moment(
            timestamp,
            "4713-01-01 00:00:00 BC",
            #""-4712-01-01T00:00:00""#,
            "-210863520000000000"
        ),
        Moment(
            timestamp,
            "294276-12-31 23:59:59.999999",
            #""+294276-12-31T23:59:59.999999""#,
            "9224318015999999999"
        ),
        Moment(timestamp, "infinity", #""infinity""#, #""infinity""#),
        Moment(timestamp, "-infinity", #""-infinity""#, #""-infinity""#),
    ])
    func `timestamps`(moment: Moment) throws {
        try expect(moment)
    }

    @Test(arguments: [
        Example(zoned, "2024-01-01 00:00:00+00", #""2024-01-01T00:00:00Z""#),
        Example(zoned, "2024-01-01 00:00:00.12+00", #""2024-01-01T00:00:00.12Z""#),
        Example(zoned, "2024-01-01 00:00:00.123456+00", #""2024-01-01T00:00:00.123456Z""#),
        Example(zoned, "2024-01-01 00:00:00+05:30", #""2024-01-01T00:00:00+05:30""#),
        Example(zoned, "2024-01-01 00:00:00.5-03", #""2024-01-01T00:00:00.5-03:00""#),
        Example(zoned, "1800-01-01 00:00:00+05:53:28", #""1800-01-01T00:00:00+05:53:28""#),
        Example(zoned, "0044-03-15 12:34:56.5+00 BC", #""-0043-03-15T12:34:56.5Z""#),
        Example(zoned, "10000-01-01 00:00:00+00", #""+10000-01-01T00:00:00Z""#),
        Example(zoned, "infinity", #""infinity""#),
    ])
    func `timestamps with time zone are strings in either format`(example: Example) throws {
        try expect(Moment(example.type, example.text, example.json, example.json))
    }

    @Test(arguments: [
        Moment(.interval, "PT0S", #""PT0S""#, "0"),
        Moment(
            .interval,
            "P1Y2M-3DT4H5M6.789S",
            #""P1Y2M-3DT4H5M6.789S""#,
            "36572706789000"
        ),
        Moment(.interval, "P1M", #""P1M""#, "2629800000000"),
        Moment(.interval, "P-1Y", #""P-1Y""#, "-31557600000000"),
        Moment(.interval, "PT-0.5S", #""PT-0.5S""#, "-500000"),
        Moment(.interval, "P-1DT1H59M56.75S", #""P-1DT1H59M56.75S""#, "-79203250000"),
        Moment(.interval, "PT10000000H", #""PT10000000H""#, "36000000000000000"),
        Moment(.interval, "P178000000Y", #""P178000000Y""#, "9223372036854775807"),
        Moment(.interval, "-infinity", #""-infinity""#, #""-infinity""#),
    ])
    func `intervals`(moment: Moment) throws {
        try expect(moment)
    }

    private func expect(_ moment: Moment) throws {
        #expect(try json(moment.type, .text(moment.text)) == moment.iso)
        let epoch = try json(
            moment.type,
            .text(moment.text),
            format: ValueFormat(temporal: .epoch)
        )
        #expect(epoch == moment.epoch)
    }
}
