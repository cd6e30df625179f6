// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct OriginTests {
    let wire = Wire.message("O").int64(0x20).name("pg_16397")

    @Test func `carries the position on the server of origin and the name`() throws {
        guard case .origin(let origin) = try decode(wire) else {
            Issue.record("not an origin message")
            return
        }
        #expect(origin.lsn == LSN(0x20))
        #expect(origin.name == "pg_16397")
    }

    @Test func `is refused when cut short or drawn out`() {
        expectEveryLengthMatters(wire)
    }

    @Test func `is refused where the name does not end, at the end`() {
        let error = fault(Wire.message("O").int64(1).text("abc").bytes)
        #expect(error?.offset == 12)
        #expect(error?.found == "no end of it in 3 bytes")
    }
}
