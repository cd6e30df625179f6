// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct CommitTests {
    let wire = Wire.message("C").byte(0).int64(0x1_0000_0010).int64(0x1_0000_0040).int64(77)

    @Test func `carries both positions and the time`() throws {
        guard case .commit(let commit) = try decode(wire) else {
            Issue.record("not a commit message")
            return
        }
        #expect(commit.commitLSN == LSN("1/10"))
        #expect(commit.endLSN == LSN("1/40"))
        #expect(commit.commitTime == PostgresTime(microseconds: 77))
    }

    @Test func `is refused when cut short or drawn out`() {
        expectEveryLengthMatters(wire)
    }

    @Test func `is refused when it sets a flag`() {
        let error = fault(Wire.message("C").byte(1).int64(1).int64(2).int64(3).bytes)
        #expect(error?.expected == "no commit flags")
        #expect(error?.found == "0x1")
        #expect(error?.offset == 1)
    }
}
