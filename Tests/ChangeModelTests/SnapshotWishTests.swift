// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import ChangeModel

@Suite struct SnapshotWishTests {
    @Test(
        arguments: [
            [("public", "orders")], [("s", "a"), ("S", "b.c,d"), ("ü", "\"%41\" \r\n\u{1F600}")],
        ]
    )
    func `names come back from a header as they were`(pairs: [(String, String)]) {
        let names = pairs.map { TableName(schema: $0.0, name: $0.1) }
        let header = names.asHeader
        #expect(header.utf8.allSatisfy { (0x21...0x7e).contains($0) })
        #expect([TableName](header: header) == names)
    }

    @Test(
        arguments: [
            "", ".", "a", "a.b.c", "a.b,", ",a.b", "a.%4", "a.%zz", "a.%00", "a.%ff", "a.",
        ]
    )
    func `what is malformed names nothing`(header: String) {
        #expect([TableName](header: header) == nil)
    }

    @Test func `a header names a bounded number of tables`() {
        let header = Array(repeating: "a.b", count: [TableName].wishLimit + 1)
        #expect([TableName](header: header.dropLast().joined(separator: ","))?.count == 1_000)
        #expect([TableName](header: header.joined(separator: ",")) == nil)
    }
}
