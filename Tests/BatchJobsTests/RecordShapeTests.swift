// SPDX-License-Identifier: Apache-2.0

import BatchJobs
import Testing

@Suite struct RecordShapeTests {
    @Test func `a dirty record says who refused it`() {
        let record = DirtyRecord(side: .writer, sqlState: "23505", reason: "x", values: ["1", nil])
        #expect(record.side.rawValue == "writer")
    }
}
