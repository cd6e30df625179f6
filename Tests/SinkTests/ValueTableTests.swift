// SPDX-License-Identifier: Apache-2.0
//
// The documented values: each row here is what docs/types.md promises. The texts are what
// PostgreSQL 15 prints in a session pinned as walrelay's are.

import ChangeModel
import Sink
import Testing

/// A type, its text, and its JSON under the default format.
struct Example: Sendable, CustomTestStringConvertible {
    let type: ValueType
    let text: String
    let json: String

    init(_ type: ValueType, _ text: String, _ json: String) {
        self.type = type
        self.text = text
        self.json = json
    }

    var testDescription: String { "\(type) \(text.prefix(40))" }
}

private let epochFormat = ValueFormat(decimals: .double, temporal: .epoch, binary: .hex)
private let preciseFormat = ValueFormat(decimals: .precise)
private func array(_ element: ValueType) -> ValueType { .array(element: element, delimiter: 0x2C) }

@Suite struct ValueTableTests {
    @Test(arguments: [
        Example(.boolean, "t", "true"),
        Example(.boolean, "f", "false"),
        Example(.integer, "0", "0"),
        Example(.integer, "-1", "-1"),
        Example(.integer, "32767", "32767"),
        Example(.integer, "-2147483648", "-2147483648"),
        Example(.integer, "12345678", "12345678"),
        Example(.integer, "123456789", "123456789"),
        Example(.integer, "9223372036854775807", "9223372036854775807"),
        Example(.integer, "-9223372036854775808", "-9223372036854775808"),
        Example(.integer, "18446744073709551615", "18446744073709551615"),
        Example(.float, "0", "0"),
        Example(.float, "-0", "-0"),
        Example(.float, "1.5", "1.5"),
        Example(.float, "1e+20", "1e+20"),
        Example(.float, "1e-05", "1e-05"),
        Example(.float, "5e-324", "5e-324"),
        Example(.float, "1.2345678901234568e+17", "1.2345678901234568e+17"),
        Example(.float, "NaN", #""NaN""#),
        Example(.float, "Infinity", #""Infinity""#),
        Example(.float, "-Infinity", #""-Infinity""#),
        Example(.bit, "1", "true"),
        Example(.bit, "0", "false"),
    ])
    func `booleans, integers and floats`(example: Example) throws {
        #expect(try json(example.type, .text(example.text)) == example.json)
        #expect(try json(example.type, .text(example.text), format: epochFormat) == example.json)
    }

    @Test(arguments: [
        Example(.text, "", #""""#),
        Example(.text, "a", #""a""#),
        Example(.text, "1234567", #""1234567""#),
        Example(.text, "12345678", #""12345678""#),
        Example(.text, "123456789", #""123456789""#),
        Example(.text, "say \"hi\" \\ bye", #""say \"hi\" \\ bye""#),
        Example(.text, "\"\"\"\"\"\"\"\"", #""\"\"\"\"\"\"\"\"""#),
        Example(.text, "tab\tnl\ncr\rbs\u{8}ff\u{C}", #""tab\tnl\ncr\rbs\bff\f""#),
        Example(.text, "\u{1}\u{1F}\u{7F}", "\"\\u0001\\u001f\u{7F}\""),
        Example(.text, "grüße 東京 🚀", #""grüße 東京 🚀""#),
        Example(.text, "/", #""/""#),
        Example(.text, #"{"k": "v\n"}"#, #""{\"k\": \"v\\n\"}""#),
        Example(.text, "[1,5)", #""[1,5)""#),
        Example(.text, "10101", #""10101""#),
    ])
    func `text is escaped after RFC 8259 and otherwise untouched`(example: Example) throws {
        #expect(try json(example.type, .text(example.text)) == example.json)
    }

    @Test func `each byte to escape is found at each place of a text`() throws {
        for length in 1...24 {
            for place in 0..<length {
                for byte in [0x00, 0x1F, 0x22, 0x5C] as [UInt8] {
                    var text = [UInt8](repeating: 0x20, count: length)
                    text[place] = byte
                    let escape =
                        switch byte {
                        case 0x22: "\\\""
                        case 0x5C: "\\\\"
                        default: byte == 0 ? "\\u0000" : "\\u001f"
                        }
                    let spaces = String(repeating: " ", count: length - 1)
                    let expected =
                        "\"" + spaces.prefix(place) + escape + spaces.dropFirst(place) + "\""
                    #expect(try json(.text, .text(text)) == expected)
                }
            }
        }
    }

    @Test func `a text longer than a piece is escaped whole`() throws {
        let text = String(repeating: "0123456789\"", count: 2000)
        let escaped = String(repeating: "0123456789\\\"", count: 2000)
        #expect(try json(.text, .text(text)) == "\"\(escaped)\"")
    }

    @Test(arguments: [
        Example(.numeric(scale: 2), "1.50", #""1.50""#),
        Example(.numeric(scale: nil), "-0.001", #""-0.001""#),
        Example(.numeric(scale: -2), "12300", #""12300""#),
        Example(.numeric(scale: nil), "NaN", #""NaN""#),
        Example(.numeric(scale: nil), "Infinity", #""Infinity""#),
        Example(.numeric(scale: nil), "-Infinity", #""-Infinity""#),
        Example(.money, "$0.00", #""0.00""#),
        Example(.money, "-$1,234,567.89", #""-1234567.89""#),
        Example(.money, "-$92,233,720,368,547,758.08", #""-92233720368547758.08""#),
    ])
    func `decimals as strings, and as numbers without the quotes`(example: Example) throws {
        #expect(try json(example.type, .text(example.text)) == example.json)
        let isFinite = !example.text.contains { "Ny".contains($0) }
        let number = isFinite ? String(example.json.dropFirst().dropLast()) : example.json
        #expect(try json(example.type, .text(example.text), format: epochFormat) == number)
    }

    @Test func `a number too large for a double stays a string`() throws {
        let fits = String(repeating: "9", count: 308)
        #expect(try json(.numeric(scale: nil), .text(fits), format: epochFormat) == fits)
        let large = "9" + fits
        #expect(try json(.numeric(scale: nil), .text(large), format: epochFormat) == "\"\(large)\"")
    }

    @Test(arguments: [
        Example(.numeric(scale: 2), "0.00", #""AA==""#),
        Example(.numeric(scale: 2), "1.27", #""fw==""#),
        Example(.numeric(scale: 2), "1.28", #""AIA=""#),
        Example(.numeric(scale: 2), "-1.28", #""gA==""#),
        Example(.numeric(scale: 2), "-1.29", #""/38=""#),
        Example(.numeric(scale: 2), "2.55", #""AP8=""#),
        Example(.numeric(scale: 2), "2.56", #""AQA=""#),
        Example(.numeric(scale: 2), "-2.56", #""/wA=""#),
        Example(.numeric(scale: 0), "-32768", #""gAA=""#),
        Example(.numeric(scale: 0), "-1", #""/w==""#),
        Example(.numeric(scale: 0), "9223372036854775807", #""f/////////8=""#),
        Example(.numeric(scale: 0), "9223372036854775808", #""AIAAAAAAAAAA""#),
        Example(.numeric(scale: 0), "18446744073709551616", #""AQAAAAAAAAAA""#),
        Example(
            .numeric(scale: 0),
            "-340282366920938463463374607431768211456",
            #""/wAAAAAAAAAAAAAAAAAAAAA=""#
        ),
        Example(.numeric(scale: -2), "12300", #""ew==""#),
        Example(.numeric(scale: -2), "0", #""AA==""#),
        Example(.numeric(scale: nil), "1.50", #"{"scale":2,"value":"AJY="}"#),
        Example(.numeric(scale: nil), "7", #"{"scale":0,"value":"Bw=="}"#),
        Example(.numeric(scale: nil), "NaN", #""NaN""#),
        Example(.numeric(scale: 2), "-Infinity", #""-Infinity""#),
        Example(.money, "-$1,234.56", #""/h3A""#),
    ])
    func `precise decimals are two's complement of the fewest bytes`(example: Example) throws {
        #expect(try json(example.type, .text(example.text), format: preciseFormat) == example.json)
    }

    @Test(arguments: [
        Example(.binary, "\\x", #""""#),
        Example(.binary, "\\x00", #""AA==""#),
        Example(.binary, "\\x00ff", #""AP8=""#),
        Example(.binary, "\\x00ff10", #""AP8Q""#),
        Example(.binary, "\\x666f6f626172fbff", #""Zm9vYmFy+/8=""#),
    ])
    func `bytes as base64, and as hexadecimal without a prefix`(example: Example) throws {
        #expect(try json(.binary, .text(example.text)) == example.json)
        let hex = "\"\(example.text.dropFirst(2))\""
        #expect(try json(.binary, .text(example.text), format: epochFormat) == hex)
    }

    @Test(arguments: [
        Example(.hstore, "", #""{}""#),
        Example(.hstore, #""a"=>"1""#, #""{\"a\":\"1\"}""#),
        Example(
            .hstore,
            #""b"=>NULL, "c"=>"NULL", ""=>"""#,
            #""{\"b\":null,\"c\":\"NULL\",\"\":\"\"}""#
        ),
        Example(.hstore, #""x y"=>"q\"z\\w""#, #""{\"x y\":\"q\\\"z\\\\w\"}""#),
        Example(.hstore, "\"n\"=>\"\n\u{1}\"", #""{\"n\":\"\\n\\u0001\"}""#),
    ])
    func `hstore is a string that holds an object`(example: Example) throws {
        #expect(try json(.hstore, .text(example.text)) == example.json)
    }

    @Test(arguments: [
        Example(array(.integer), "{}", "[]"),
        Example(array(.integer), "{1,NULL,3}", "[1,null,3]"),
        Example(array(.integer), "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
        Example(array(.integer), "[0:2]={1,2,3}", "[1,2,3]"),
        Example(array(.integer), "[-1:0][2:3]={{1,2},{3,4}}", "[[1,2],[3,4]]"),
        Example(array(.boolean), "{t,f}", "[true,false]"),
        Example(array(.bit), "{1,0}", "[true,false]"),
        Example(
            array(.text),
            #"{"a\"b","c\\d","NULL",NULL,"","x,y"," ","{}"}"#,
            #"["a\"b","c\\d","NULL",null,"","x,y"," ","{}"]"#
        ),
        Example(array(.text), "{\"\n\"}", #"["\n"]"#),
        Example(array(.binary), #"{"\\x00ff","\\x"}"#, #"["AP8=",""]"#),
        Example(
            array(.timestamp(precision: 6)),
            #"{"2024-01-01 00:00:00",infinity}"#,
            #"["2024-01-01T00:00:00","infinity"]"#
        ),
        Example(array(.numeric(scale: 2)), "{1.50,NaN}", #"["1.50","NaN"]"#),
        Example(array(.money), #"{"$1,000.00"}"#, #"["1000.00"]"#),
        Example(array(.text), #"{"(1,\"a b\")"}"#, #"["(1,\"a b\")"]"#),
        Example(
            .array(element: .text, delimiter: 0x3B),
            "{(1,1),(0,0);(3,3),(2,2)}",
            #"["(1,1),(0,0)","(3,3),(2,2)"]"#
        ),
        Example(
            array(.hstore),
            #"{"\"a\"=>\"1\"","\"b\"=>NULL"}"#,
            #"["{\"a\":\"1\"}","{\"b\":null}"]"#
        ),
        Example(array(array(.integer)), #"{"{1,2}","{3}"}"#, "[[1,2],[3]]"),
        Example(array(array(.text)), #"{"{\"a\\\"b\",c}"}"#, #"[["a\"b","c"]]"#),
        Example(array(.integer), "{{{{{{1}}}}}}", "[[[[[[1]]]]]]"),
    ])
    func `arrays are nested arrays of elements`(example: Example) throws {
        #expect(try json(example.type, .text(example.text)) == example.json)
    }
}
