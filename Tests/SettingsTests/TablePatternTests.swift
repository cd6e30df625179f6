// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Settings
import Testing

private func tables(_ include: String, exclude: String = "") throws -> TableSelection {
    try Draft(tables: "\n  include: [\(include)]\n  exclude: [\(exclude)]").settings().tables
}

@Suite struct TablePatterns {
    @Test(arguments: [
        ("public.orders", TablePattern(schema: .exact("public"), name: .exact("orders"))),
        ("orders", TablePattern(schema: .exact("public"), name: .exact("orders"))),
        ("Sales.ORDERS", TablePattern(schema: .exact("sales"), name: .exact("orders"))),
        ("\"sales.*\"", TablePattern(schema: .exact("sales"), name: .glob("*"))),
        ("public.ord_*", TablePattern(schema: .exact("public"), name: .glob("ord_*"))),
        ("\"*.log\"", TablePattern(schema: .glob("*"), name: .exact("log"))),
        (
            "'public.\"Mixed-Case\"'",
            TablePattern(schema: .exact("public"), name: .exact("Mixed-Case"))
        ),
        ("'\"a.b\".\"c*\"\"d\"'", TablePattern(schema: .exact("a.b"), name: .exact("c*\"d"))),
        ("Größe", TablePattern(schema: .exact("public"), name: .exact("größe"))),
        ("ÄB", TablePattern(schema: .exact("public"), name: .exact("Äb"))),
    ])
    func `names are read as SQL reads them`(_ text: String, _ pattern: TablePattern) throws {
        #expect(try tables(text).include.map(\.pattern) == [pattern])
    }

    @Test func `a table of its own entry has that entry, whatever pattern stands before it`() throws
    {
        let tables = try tables(
            "\"sales.*\", { table: sales.orders, columns: [id, '\"Total\"'], where: id > 0 }",
            exclude: "sales.audit, \"sales.tmp_*\""
        )
        #expect(tables.rule(schema: "sales", name: "audit") == nil)
        #expect(tables.rule(schema: "sales", name: "tmp_1") == nil)
        #expect(tables.rule(schema: "public", name: "orders") == nil)
        #expect(tables.rule(schema: "sales", name: "items")?.columns == nil)
        let orders = tables.rule(schema: "sales", name: "orders")
        #expect(orders?.columns == ["id", "Total"])
        #expect(orders?.filter == "id > 0")
    }
}
