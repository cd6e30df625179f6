// SPDX-License-Identifier: Apache-2.0

import PgOutput
import Testing

struct TruncateTests {
    let wire = Wire.message("T").int32(2).byte(3).int32(16_385).int32(16_390)

    @Test(
        arguments: [
            (0, false, false), (1, true, false), (2, false, true), (3, true, true),
        ] as [(UInt8, Bool, Bool)]
    )
    func `carries the tables and the options`(
        options: UInt8,
        cascade: Bool,
        restartIdentity: Bool
    ) throws {
        let wire = Wire.message("T").int32(2).byte(options).int32(16_385).int32(16_390)
        guard case .truncate(let truncate) = try decode(wire) else {
            Issue.record("not a truncate message")
            return
        }
        #expect(truncate.relations == [16_385, 16_390])
        #expect(truncate.cascade == cascade)
        #expect(truncate.restartIdentity == restartIdentity)
    }

    @Test func `is refused when cut short or drawn out`() {
        expectEveryLengthMatters(wire)
    }

    @Test(arguments: [-1, 3, 2_147_483_647, -2_147_483_648])
    func `is refused when it announces tables that it does not name`(count: Int) {
        let error = fault(Wire.message("T").int32(count).byte(0).int32(1).int32(2).bytes)
        #expect(error?.expected == "a number of relations that the message has room for")
        #expect(error?.found == "\(count)")
        #expect(error?.offset == 1)
    }

    @Test func `is refused with an unknown option`() {
        #expect(fault(Wire.message("T").int32(0).byte(4).bytes)?.offset == 5)
    }
}
