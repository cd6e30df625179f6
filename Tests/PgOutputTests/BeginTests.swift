// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct BeginTests {
    let wire = Wire.message("B").int64(0x16_B374_D848).int64(-1_000_000).int32(0xFFFF_FFFE)

    @Test func `carries the commit's position, its time and the transaction's id`() throws {
        guard case .begin(let begin) = try decode(wire) else {
            Issue.record("not a begin message")
            return
        }
        #expect(begin.finalLSN == LSN("16/B374D848"))
        #expect(begin.commitTime == PostgresTime(microseconds: -1_000_000))
        #expect(begin.xid == 4_294_967_294)
    }

    @Test func `is refused when cut short or drawn out`() {
        expectEveryLengthMatters(wire)
    }

    @Test func `says which part is missing`() {
        let error = fault(Array(wire.bytes.prefix(20)))
        #expect(
            error?.description
                == "begin message of 20 bytes: expected the transaction's id (4 bytes), "
                + "found only 3 at byte 17"
        )
    }
}
