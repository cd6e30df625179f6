// SPDX-License-Identifier: Apache-2.0
//
// The parts of reading that ask no server.

import ChangeModel
import LibPQ
import Testing

@testable import BatchJobs

struct ReadingPartsTests {
    private static let key = SourceColumn(
        name: "k\"",
        type: "text",
        collation: "public.\"Odd\"",
        isNeverNull: false,
        isGenerated: false,
        isIndexed: true
    )

    @Test(arguments: [
        ("SELECT 1", "SELECT 1"), ("SELECT 1;", "SELECT 1"), ("SELECT 1 ; ; -- x;", "SELECT 1"),
        ("SELECT ';'", "SELECT ';'"), ("SELECT ';';", "SELECT ';'"),
        ("SELECT $$;$$ ;", "SELECT $$;$$"), ("SELECT $a$;$$;$a$;", "SELECT $a$;$$;$a$"),
        ("SELECT E'\\';' ;", "SELECT E'\\';'"), ("SELECT \";\" ;", "SELECT \";\""),
        ("SELECT 1 /* ; /* ; */ */ ;", "SELECT 1"), ("SELECT 1 -- ;\n + 2;", "SELECT 1 -- ;\n + 2"),
        ("SELECT 1; SELECT 2;", "SELECT 1; SELECT 2"), ("SELECT 1 /* ;", "SELECT 1 /* ;"),
        ("SELECT ';", "SELECT ';"), ("SELECT $1 ;", "SELECT $1"), ("SELECT $", "SELECT $"),
        ("", ""), (";", ";"), ("  SELECT 1\n", "  SELECT 1"), ("SELECT '\\';", "SELECT '\\'"),
    ])
    func `a statement ends before its last semicolon`(given: String, kept: String) {
        #expect(SQLEnd.trimmed(given) == kept)
    }

    @Test func `ranges leave nothing between them`() {
        #expect(
            SliceRanges.keys(Self.key, bounds: ["a'", "b\\"]) == [
                #""k""" OPERATOR(pg_catalog.<) 'a'''::text COLLATE public."Odd""#,
                #""k""" OPERATOR(pg_catalog.>=) 'a'''::text COLLATE public."Odd" AND "#
                    + #""k""" OPERATOR(pg_catalog.<) E'b\\'::text COLLATE public."Odd""#,
                #""k""" OPERATOR(pg_catalog.>=) E'b\\'::text COLLATE public."Odd""#,
                #""k""" IS NULL"#,
            ]
        )
        #expect(SliceRanges.keys(Self.key, bounds: []).isEmpty)
        #expect(
            SliceRanges.pages(bounds: [5]) == [
                "ctid < '(5,0)'::pg_catalog.tid", "ctid >= '(5,0)'::pg_catalog.tid",
            ]
        )
    }

    @Test func `page bounds share out the pages of all heaps`() {
        #expect(SliceRanges.pageBounds([100], count: 4) == [25, 50, 75])
        #expect(SliceRanges.pageBounds([100, 100], count: 4) == [25, 50, 75])
        #expect(SliceRanges.pageBounds([10, 190], count: 4) == [40, 90, 140])
        for heaps in [[], [0], [1], [0, 0]] as [[Int64]] {
            #expect(SliceRanges.pageBounds(heaps, count: 4).isEmpty)
        }
        #expect(SliceRanges.pageBounds([2], count: 1000) == [1])
    }

    @Test func `constants come before columns, columns before expressions`() throws {
        var relation = SourceRelation(
            oid: 1,
            schema: "s",
            name: "t",
            kind: .table,
            hasChildren: false,
            hidesRows: false
        )
        relation.columns = ["id", "table", "Mixed", "true", "1"].map { name in
            var column = Self.key
            column.name = name
            return column
        }
        func list(_ written: String...) throws -> ColumnList {
            try ColumnList(written, of: relation)
        }
        #expect(try list("ID", " table ", "Mixed").statement.text == #""id", "table", "Mixed""#)
        #expect(try list("true", "1", "-2.5e3", "'it''s'", "NULL").plain == nil)
        #expect(try !list("true", "1").hasExpressions)
        #expect(try list("\"true\"", "\"1\"").plain?.map(\.name) == ["true", "1"])
        #expect(try list("a b", "current_date", "t", "id || 'x'", "ctid").hasExpressions)
        #expect(throws: WalrelayError.self) { try list("missing") }
        #expect(throws: WalrelayError.self) { try list("\"ID\"") }
        #expect(throws: WalrelayError.self) { try list("") }
        #expect(try list("*", "id").plain?.count == 6)
    }

    @Test func `an error's place is found in the job's own words`() {
        var error = PostgresError(kind: .server, sqlState: "42601", message: "syntax error")
        var inner = ComposedStatement("SELECT ")
        inner.append("中 + b", from: "column 1")
        inner.append("\n FROM t WHERE ")
        inner.append("x\n= = y", from: "where")
        let statement = inner.between("COPY (", ") TO STDOUT")
        #expect(statement.text == "COPY (SELECT 中 + b\n FROM t WHERE x\n= = y) TO STDOUT")
        error.position = statement.text.unicodeScalars.count + 1 - ") TO STDOUT".count - 3
        #expect(statement.place(of: error)?.origin == "where")
        #expect(statement.place(of: error)?.excerpt == "= = y\n  ^")
        error.position = 18
        #expect(statement.place(of: error)?.excerpt == "中 + b\n     ^")
        error.position = 3
        #expect(statement.place(of: error) == nil)
    }
}
