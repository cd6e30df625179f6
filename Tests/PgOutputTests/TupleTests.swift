// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct TupleTests {
    let start = Wire.message("I").int32(1).byte("N")

    @Test func `of a table without columns is empty`() throws {
        #expect(
            try decode(start.int16(0)) == .insert(relation: 1, new: TupleCells(first: 0, count: 0))
        )
    }

    @Test func `in binary is refused`() {
        let error = fault(start.int16(1).byte("b").int32(1).byte(0).bytes)
        #expect(error?.expected == "a column kind of n, u or t")
        #expect(error?.found == "'b'")
        #expect(error?.offset == 8)
    }

    @Test(arguments: [-1, -2_147_483_648, 2_147_483_647, 4])
    func `with a length that is negative or beyond the message is refused`(length: Int) {
        let error = fault(start.int16(2).byte("n").byte("t").int32(length).text("abc").bytes)
        #expect(error?.expected == "a column's length of 0 to 3")
        #expect(error?.found == "\(length)")
        #expect(error?.offset == 10)
    }

    @Test(arguments: [1_665, 0x8000, 0xFFFF])
    func `with more columns than PostgreSQL has is refused`(count: Int) {
        let error = fault(start.int16(count).bytes)
        #expect(error?.expected == "at most 1664 columns")
        #expect(error?.offset == 6)
    }

    @Test func `with fewer columns than announced is refused at the end`() {
        let error = fault(start.int16(3).byte("n").byte("u").bytes)
        #expect(error?.expected == "a column's kind (1 byte)")
        #expect(error?.found == "the end")
        #expect(error?.offset == 10)
    }
}
