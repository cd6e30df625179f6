// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct StandbyStatusTests {
    @Test func `is written as the protocol lays it out`() {
        let status = StandbyStatus(
            written: LSN(0x0102_0304_0506_0708),
            flushed: LSN(0x11),
            applied: LSN(UInt64.max),
            at: PostgresTime(microseconds: -2),
            replyRequested: true
        )
        let expected = Wire.message("r").int64(0x0102_0304_0506_0708).int64(0x11).int64(-1)
            .int64(-2).byte(1)
        #expect(status.encode() == expected.bytes)
        #expect(status.encode().count == StandbyStatus.byteCount)
    }

    @Test func `asks for no reply unless told to`() {
        let status = StandbyStatus(
            written: .zero,
            flushed: .zero,
            applied: .zero,
            at: PostgresTime(microseconds: 0)
        )
        #expect(status.encode().last == 0)
    }
}
