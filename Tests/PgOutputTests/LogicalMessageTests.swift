// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct LogicalMessageTests {
    let wire = Wire.message("M").byte(1).int64(0x30).name("app").int32(5).text("hello")

    @Test func `says where its content stands`() throws {
        guard case .logicalMessage(let message) = try decode(wire) else {
            Issue.record("not a logical message")
            return
        }
        #expect(message.transactional)
        #expect(message.lsn == LSN(0x30))
        #expect(message.prefix == "app")
        #expect(String(decoding: wire.bytes[message.content], as: UTF8.self) == "hello")
    }

    @Test func `may stand outside of a transaction and be empty`() throws {
        let wire = Wire.message("M").byte(0).int64(1).name("").int32(0)
        guard case .logicalMessage(let message) = try decode(wire) else {
            Issue.record("not a logical message")
            return
        }
        #expect(!message.transactional)
        #expect(message.content.isEmpty)
    }

    @Test func `is refused when cut short or drawn out`() {
        expectEveryLengthMatters(wire)
    }

    @Test(arguments: [-1, 6, 2_147_483_647])
    func `is refused with a content length beyond the message`(length: Int) {
        let error = fault(
            Wire.message("M").byte(1).int64(1).name("p").int32(length).text("hello").bytes
        )
        #expect(error?.expected == "the content's length of 0 to 5")
        #expect(error?.offset == 12)
    }

    @Test func `is refused with an unknown flag`() {
        #expect(fault(Wire.message("M").byte(2).int64(1).name("").int32(0).bytes)?.offset == 1)
    }
}
