// SPDX-License-Identifier: Apache-2.0
//
// Every built-in type, and the kinds that a database makes itself, with the values at their edges
// and the JSON that docs/types.md promises for them under the default format.
import Support

/// A column and what is put into it.
struct TypeCase: Sendable {
    let type: String
    /// A literal, and the JSON that it must become.
    let values: [(sql: String, json: String)]
    var since = PostgresVersion.v11
    /// Which extension or build option the type needs.
    var needs: String?

    /// `values` are literals without their quotes, and JSON.
    init(
        _ type: String,
        since: PostgresVersion = .v11,
        needs: String? = nil,
        _ values: KeyValuePairs<String, String>
    ) {
        self.type = type
        self.values = values.map { literal, json in
            ("'\(literal.replacing("'", with: "''"))'", json)
        }
        self.since = since
        self.needs = needs
    }

    /// What the columns' types need to be there.
    static let prelude = """
        CREATE TYPE mood AS ENUM ('sad', 'happy', 'it''s "so"');
        CREATE TYPE pair AS (n int, t text);
        CREATE DOMAIN positive AS int CHECK (VALUE > 0);
        CREATE DOMAIN more_positive AS positive CHECK (VALUE > 1);
        CREATE DOMAIN price AS numeric(10,2);
        CREATE DOMAIN tags AS text[];
        CREATE DOMAIN feeling AS mood;
        CREATE TYPE floatrange AS RANGE (subtype = float8);
        """

    /// A number of 401 digits.
    private static let huge = "1" + String(repeating: "0", count: 400)

    static let all = numbers + texts + times + others + arrays + own

    private static let numbers = [
        TypeCase("boolean", ["t": "true", "f": "false"]),
        TypeCase("smallint", ["-32768": "-32768", "32767": "32767"]),
        TypeCase("integer", ["-2147483648": "-2147483648", "2147483647": "2147483647"]),
        TypeCase(
            "bigint",
            [
                "-9223372036854775808": "-9223372036854775808",
                "9223372036854775807": "9223372036854775807",
            ]
        ),
        TypeCase(
            "real",
            [
                "1.5": "1.5", "-0": "-0", "NaN": #""NaN""#, "Infinity": #""Infinity""#,
                "-Infinity": #""-Infinity""#,
            ]
        ),
        TypeCase(
            "real",
            since: .v13,
            ["1e20": "1e+20", "3.4028235e38": "3.4028235e+38", "1e-45": "1e-45", "0.1": "0.1"]
        ),
        TypeCase(
            "double precision",
            ["-1.5": "-1.5", "-0": "-0", "NaN": #""NaN""#, "-Infinity": #""-Infinity""#]
        ),
        TypeCase(
            "double precision",
            since: .v13,
            [
                "0.1": "0.1", "1e-5": "1e-05", "1.7976931348623157e308": "1.7976931348623157e+308",
                "5e-324": "5e-324",
            ]
        ),
        TypeCase(
            "numeric",
            [
                "NaN": #""NaN""#, "0": #""0""#,
                "-0.000000000000000000001":
                    #""-0.000000000000000000001""#,
                huge: "\"\(huge)\"", "1.50": #""1.50""#,
            ]
        ),
        TypeCase("numeric", since: .v14, ["Infinity": #""Infinity""#, "-inf": #""-Infinity""#]),
        TypeCase("numeric(10,2)", ["1.5": #""1.50""#, "-0.01": #""-0.01""#, "NaN": #""NaN""#]),
        TypeCase("numeric(8,-2)", since: .v15, ["12345": #""12300""#]),
        TypeCase(
            "money",
            ["-1234.56": #""-1234.56""#, "92233720368547758.07": #""92233720368547758.07""#]
        ),
        TypeCase("oid", ["4294967295": "4294967295"]),
        TypeCase("xid", ["4294967295": "4294967295"]),
        TypeCase("cid", ["1": "1"]),
        TypeCase("xid8", since: .v13, ["18446744073709551615": "18446744073709551615"]),
        TypeCase("bit", ["1": "true", "0": "false"]),
        TypeCase("bit(8)", ["10100000": #""10100000""#]),
        TypeCase("bit varying", ["": #""""#, "10101": #""10101""#]),
    ]

    private static let texts = [
        TypeCase(
            "text",
            [
                "": #""""#, #"say "hi" \ it's"#: #""say \"hi\" \\ it's""#,
                "grüße 🚀 \u{7f}\u{2028}": #""grüße 🚀 \u007f\u2028""#,
                "\u{1}\t\n\r\u{8}\u{c}\u{1f}": #""\u0001\t\n\r\b\f\u001f""#,
                "__debezium_unavailable_value": #""__debezium_unavailable_value""#,
                #"\N"#: #""\\N""#, #"\."#: #""\\.""#, "NULL": #""NULL""#,
            ]
        ),
        TypeCase("varchar(10)", ["0123456789": #""0123456789""#, "": #""""#]),
        TypeCase("char(5)", ["ab": #""ab   ""#, "": #""     ""#]),
        TypeCase(#""char""#, ["x": #""x""#, "": #""""#]),
        TypeCase("name", ["pg_class": #""pg_class""#]),
        TypeCase("bytea", [#"\x"#: #""""#, #"\x00ff10"#: #""AP8Q""#, #"\x00"#: #""AA==""#]),
        TypeCase(
            "json",
            [
                #"{"a": [1, null]}"#: #""{\"a\": [1, null]}""#,
                #"{"a":1,"a":  2}"#:
                    #""{\"a\":1,\"a\":  2}""#, "null": #""null""#,
            ]
        ),
        TypeCase(
            "jsonb",
            [#"{"b":1,"a":1.50}"#: #""{\"a\": 1.50, \"b\": 1}""#, #""\u00e9""#: #""\"é\"""#]
        ),
        TypeCase("jsonpath", since: .v13, ["$.a[*] ? (@ > 1)": #""$.\"a\"[*]?(@ > 1)""#]),
        TypeCase("xml", needs: "xml", [#"<a b="c"/>"#: #""<a b=\"c\"/>""#, "": #""""#]),
        TypeCase(
            "uuid",
            ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11": #""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#]
        ),
        TypeCase("tsvector", ["fat:2 rat:3": #""'fat':2 'rat':3""#, "": #""""#]),
        TypeCase("tsquery", ["fat & !rat": #""'fat' & !'rat'""#]),
    ]

    private static let times = [
        TypeCase(
            "date",
            [
                "2024-02-29": #""2024-02-29""#, "0044-03-15 BC": #""-0043-03-15""#,
                "0001-01-01 BC": #""0000-01-01""#, "5874897-12-31": #""+5874897-12-31""#,
                "4713-01-01 BC": #""-4712-01-01""#, "infinity": #""infinity""#,
                "-infinity": #""-infinity""#, "9999-12-31": #""9999-12-31""#,
            ]
        ),
        TypeCase(
            "time",
            ["24:00:00": #""24:00:00""#, "00:00": #""00:00:00""#, "12:34:56.5": #""12:34:56.5""#]
        ),
        TypeCase("time(3)", ["12:34:56.7891": #""12:34:56.789""#]),
        TypeCase(
            "timetz",
            [
                "12:00:00+02": #""12:00:00+02:00""#, "12:00:00+00": #""12:00:00Z""#,
                "24:00:00-15:59:59": #""24:00:00-15:59:59""#,
                "01:02:03.000004+05:30": #""01:02:03.000004+05:30""#,
            ]
        ),
        TypeCase(
            "timestamp",
            [
                "2024-01-01 12:34:56.123456": #""2024-01-01T12:34:56.123456""#,
                "infinity": #""infinity""#, "-infinity": #""-infinity""#,
                "0001-12-31 23:59:59.999999 BC": #""0000-12-31T23:59:59.999999""#,
                "294276-12-31 23:59:59.999999": #""+294276-12-31T23:59:59.999999""#,
                "4713-01-01 00:00:00 BC": #""-4712-01-01T00:00:00""#,
            ]
        ),
        TypeCase("timestamp(0)", ["2024-01-01 12:34:56.6": #""2024-01-01T12:34:57""#]),
        TypeCase(
            "timestamptz",
            [
                "2024-01-01 12:00:00.5+02": #""2024-01-01T10:00:00.5Z""#,
                "0044-03-15 12:00:00+00 BC": #""-0043-03-15T12:00:00Z""#,
                "-infinity": #""-infinity""#, "infinity": #""infinity""#,
            ]
        ),
        TypeCase(
            "interval",
            [
                "1 year 2 mons -3 days 04:05:06.789": #""P1Y2M-3DT4H5M6.789S""#, "0": #""PT0S""#,
                "-1 day -00:00:00.000001": #""P-1DT-0.000001S""#,
                "178000000 years": #""P178000000Y""#,
            ]
        ),
        TypeCase(
            "interval",
            since: .v17,
            ["infinity": #""infinity""#, "-infinity": #""-infinity""#]
        ),
    ]

    private static let others = [
        TypeCase("inet", ["10.0.0.1/8": #""10.0.0.1/8""#, "::1": #""::1""#]),
        TypeCase("cidr", ["10.0.0.0/8": #""10.0.0.0/8""#]),
        TypeCase("macaddr", ["08:00:2b:01:02:03": #""08:00:2b:01:02:03""#]),
        TypeCase("macaddr8", ["08:00:2b:01:02:03:04:05": #""08:00:2b:01:02:03:04:05""#]),
        TypeCase("point", ["(1,2.5)": #""(1,2.5)""#]),
        TypeCase("line", ["{1,2,3}": #""{1,2,3}""#]),
        TypeCase("lseg", ["[(0,0),(1,1)]": #""[(0,0),(1,1)]""#]),
        TypeCase("box", ["((0,0),(1,1))": #""(1,1),(0,0)""#]),
        TypeCase(
            "path",
            [
                "((0,0),(1,1))": #""((0,0),(1,1))""#,
                "[(0,0),(1,1)]":
                    #""[(0,0),(1,1)]""#,
            ]
        ),
        TypeCase("polygon", ["((0,0),(1,1),(1,0))": #""((0,0),(1,1),(1,0))""#]),
        TypeCase("circle", ["<(0,0),5>": #""<(0,0),5>""#]),
        TypeCase("pg_lsn", ["16/B374D848": #""16/B374D848""#, "0/0": #""0/0""#]),
        TypeCase("tid", ["(0,1)": #""(0,1)""#]),
        TypeCase("txid_snapshot", ["10:20:10,14": #""10:20:10,14""#]),
        TypeCase("pg_snapshot", since: .v13, ["10:20:10,14": #""10:20:10,14""#]),
        TypeCase("int2vector", ["1 2 3": #""1 2 3""#]),
        TypeCase("oidvector", ["1 2": #""1 2""#]),
        TypeCase("regclass", ["pg_class": #""pg_class""#]),
        TypeCase("regtype", ["int4": #""integer""#]),
        TypeCase("regrole", ["postgres": #""postgres""#]),
        TypeCase("int4range", ["[1,4]": #""[1,5)""#, "empty": #""empty""#, "(,)": #""(,)""#]),
        TypeCase("int8range", ["[1,)": #""[1,)""#]),
        TypeCase("numrange", ["[1.5,2.50]": #""[1.5,2.50]""#]),
        TypeCase("daterange", ["[2024-01-01,2024-01-31]": #""[2024-01-01,2024-02-01)""#]),
        TypeCase(
            "tsrange",
            ["[2024-01-01,infinity)": #""[\"2024-01-01 00:00:00\",infinity)""#]
        ),
        TypeCase(
            "tstzrange",
            ["[2024-01-01 12:00+02,)": #""[\"2024-01-01 10:00:00+00\",)""#]
        ),
        TypeCase(
            "int4multirange",
            since: .v14,
            [
                "{[1,3),[5,7)}": #""{[1,3),[5,7)}""#,
                "{}":
                    #""{}""#,
            ]
        ),
        TypeCase(
            "datemultirange",
            since: .v14,
            [
                "{[2024-01-01,2024-01-02)}":
                    #""{[2024-01-01,2024-01-02)}""#
            ]
        ),
    ]

    private static let arrays = [
        TypeCase(
            "integer[]",
            [
                "{{1,NULL},{3,4}}": "[[1,null],[3,4]]", "[0:1]={1,2}": "[1,2]", "{}": "[]",
                "[-1:0][2:3][1:1]={{{1},{2}},{{3},{4}}}": "[[[1],[2]],[[3],[4]]]",
            ]
        ),
        TypeCase("bigint[]", ["{9223372036854775807,-1}": "[9223372036854775807,-1]"]),
        TypeCase("boolean[]", ["{t,f,NULL}": "[true,false,null]"]),
        TypeCase("double precision[]", ["{NaN,-0,1.5}": #"["NaN",-0,1.5]"#]),
        TypeCase("numeric(10,2)[]", ["{1.5,NaN}": #"["1.50","NaN"]"#]),
        TypeCase("money[]", ["{1.50,-2}": #"["1.50","-2.00"]"#]),
        TypeCase(
            "text[]",
            [
                #"{"a\"b",NULL,"NULL",c}"#: #"["a\"b",null,"NULL","c"]"#,
                #"{"","a,b","{}","x\\y"," ","grüße"}"#: #"["","a,b","{}","x\\y"," ","grüße"]"#,
            ]
        ),
        TypeCase("varchar(3)[]", ["{abc,d}": #"["abc","d"]"#]),
        TypeCase("char(3)[]", ["{a}": #"["a  "]"#]),
        TypeCase("bytea[]", [#"{"\\x00","\\xff",""}"#: #"["AA==","/w==",""]"#]),
        TypeCase("date[]", ["{infinity,2024-02-29}": #"["infinity","2024-02-29"]"#]),
        TypeCase(
            "timestamp(0)[]",
            [
                #"{"2024-01-01 00:00:00",NULL}"#:
                    #"["2024-01-01T00:00:00",null]"#
            ]
        ),
        TypeCase("timestamptz[]", [#"{"2024-01-01 00:00:00+02"}"#: #"["2023-12-31T22:00:00Z"]"#]),
        TypeCase("interval[]", ["{1 day,0}": #"["P1D","PT0S"]"#]),
        TypeCase(
            "uuid[]",
            [
                "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}":
                    #"["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]"#
            ]
        ),
        TypeCase("jsonb[]", [#"{"{\"a\":1}"}"#: #"["{\"a\": 1}"]"#]),
        TypeCase("inet[]", ["{10.0.0.1}": #"["10.0.0.1"]"#]),
        TypeCase("point[]", [#"{"(1,2)"}"#: #"["(1,2)"]"#]),
        TypeCase("box[]", ["{(1,1),(0,0);(3,3),(2,2)}": #"["(1,1),(0,0)","(3,3),(2,2)"]"#]),
        TypeCase("int4range[]", [#"{"[1,5)",empty}"#: #"["[1,5)","empty"]"#]),
        TypeCase("bit(1)[]", ["{1,0}": "[true,false]"]),
        TypeCase(#""char"[]"#, ["{a,b}": #"["a","b"]"#]),
        TypeCase("oid[]", ["{1,4294967295}": "[1,4294967295]"]),
    ]

    private static let own = [
        TypeCase("mood", ["happy": #""happy""#, #"it's "so""#: #""it's \"so\"""#]),
        TypeCase("mood[]", [#"{sad,NULL,"it's \"so\""}"#: #"["sad",null,"it's \"so\""]"#]),
        TypeCase("pair", [#"(1,"a b")"#: #""(1,\"a b\")""#, "(,)": #""(,)""#]),
        TypeCase("pair[]", [#"{"(1,\"a b\")"}"#: #"["(1,\"a b\")"]"#]),
        TypeCase("positive", ["7": "7"]),
        TypeCase("more_positive", ["8": "8"]),
        TypeCase("positive[]", ["{1,NULL}": "[1,null]"]),
        TypeCase("price", ["1.5": #""1.50""#]),
        TypeCase("price[]", ["{1.5}": #"["1.50"]"#]),
        TypeCase("tags", ["{a,NULL}": #"["a",null]"#]),
        TypeCase("feeling", ["sad": #""sad""#]),
        TypeCase("floatrange", ["[1.5,2.5)": #""[1.5,2.5)""#]),
        TypeCase(
            "hstore",
            needs: "hstore",
            [
                #"a=>1,b=>NULL"#: #""{\"a\":\"1\",\"b\":null}""#, "": #""{}""#,
                #""q\"k"=>"x y""#:
                    #""{\"q\\\"k\":\"x y\"}""#,
            ]
        ),
        TypeCase("citext", needs: "citext", ["Ab": #""Ab""#]),
    ]
}
