// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct InsertTests {
    let wire = Wire.message("I").int32(16_385).byte("N")
        .tuple(.text("1"), .null, .text(""), .text("Ångström"))

    @Test func `points at its values`() throws {
        var decoded = Decoded(arena: [1, 2, 3])
        guard case .insert(16_385, let new) = try decoded.decode(wire.bytes) else {
            Issue.record("not an insert message of relation 16385")
            return
        }
        #expect(new == TupleCells(first: 0, count: 4))
        #expect(decoded.texts(new) == ["1", "<null>", "", "Ångström"])
        #expect(decoded.cells.first == Cell(offset: 3 + 13, length: 1))
    }

    @Test func `puts its cells behind those that are there`() throws {
        var decoded = Decoded()
        _ = try decoded.decode(wire.bytes)
        guard case .insert(_, let new) = try decoded.decode(wire.bytes) else {
            Issue.record("not an insert message")
            return
        }
        #expect(new == TupleCells(first: 4, count: 4))
        #expect(decoded.texts(new) == ["1", "<null>", "", "Ångström"])
    }

    @Test func `is refused when cut short or drawn out`() {
        expectEveryLengthMatters(wire)
    }

    @Test(arguments: ["K", "O", "n"] as [Character])
    func `is refused with anything but a new tuple`(kind: Character) {
        let error = fault(Wire.message("I").int32(1).byte(kind).tuple(.null).bytes)
        #expect(error?.expected == "'N'")
        #expect(error?.found == "'\(kind)'")
        #expect(error?.offset == 5)
    }
}
