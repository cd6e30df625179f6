// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct UpdateTests {
    let plain = Wire.message("U").int32(9).byte("N").tuple(.text("1"), .unchanged)
    let keyed = Wire.message("U").int32(9).byte("K").tuple(.text("1"), .null)
        .byte("N").tuple(.text("2"), .text("b"))
    let full = Wire.message("U").int32(9).byte("O").tuple(.text("1"), .text("a"))
        .byte("N").tuple(.text("1"), .unchanged)

    @Test func `without an old tuple has only the new one`() throws {
        var decoded = Decoded()
        guard case .update(9, .none, let old, let new) = try decoded.decode(plain.bytes) else {
            Issue.record("not an update message without an old tuple")
            return
        }
        #expect(old.indices.isEmpty)
        #expect(decoded.texts(new) == ["1", "<unchanged>"])
    }

    @Test func `with a key has it before the new tuple`() throws {
        var decoded = Decoded()
        guard case .update(9, .key, let old, let new) = try decoded.decode(keyed.bytes) else {
            Issue.record("not an update message with a key")
            return
        }
        #expect(decoded.texts(old) == ["1", "<null>"])
        #expect(decoded.texts(new) == ["2", "b"])
    }

    @Test func `with a full old row has it before the new tuple`() throws {
        var decoded = Decoded()
        guard case .update(9, .full, let old, let new) = try decoded.decode(full.bytes) else {
            Issue.record("not an update message with a full old row")
            return
        }
        #expect(decoded.texts(old) == ["1", "a"])
        #expect(decoded.texts(new) == ["1", "<unchanged>"])
    }

    @Test func `is refused when cut short or drawn out`() {
        expectEveryLengthMatters(plain)
        expectEveryLengthMatters(keyed)
        expectEveryLengthMatters(full)
    }

    @Test func `is refused with another first tuple`() {
        let error = fault(Wire.message("U").int32(9).byte("X").tuple().bytes)
        #expect(error?.expected == "'K', 'O' or 'N'")
        #expect(error?.offset == 5)
    }

    @Test func `is refused with two old tuples`() {
        let error = fault(
            Wire.message("U").int32(9).byte("K").tuple(.null).byte("O").tuple(.null).bytes
        )
        #expect(error?.expected == "'N'")
        #expect(error?.offset == 9)
    }
}
