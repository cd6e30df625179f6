// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct DeleteTests {
    let keyed = Wire.message("D").int32(9).byte("K").tuple(.text("1"), .null)
    let full = Wire.message("D").int32(9).byte("O").tuple(.text("1"), .text("a"))

    @Test func `carries the key`() throws {
        var decoded = Decoded()
        guard case .delete(9, .key, let tuple) = try decoded.decode(keyed.bytes) else {
            Issue.record("not a delete message with a key")
            return
        }
        #expect(decoded.texts(tuple) == ["1", "<null>"])
    }

    @Test func `carries the full old row`() throws {
        var decoded = Decoded()
        guard case .delete(9, .full, let tuple) = try decoded.decode(full.bytes) else {
            Issue.record("not a delete message with a full old row")
            return
        }
        #expect(decoded.texts(tuple) == ["1", "a"])
    }

    @Test func `is refused when cut short or drawn out`() {
        expectEveryLengthMatters(keyed)
        expectEveryLengthMatters(full)
    }

    @Test func `is refused with a new tuple`() {
        let error = fault(Wire.message("D").int32(9).byte("N").tuple(.null).bytes)
        #expect(error?.expected == "'K' or 'O'")
        #expect(error?.offset == 5)
    }
}
