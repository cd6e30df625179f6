// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct DecodeErrorTests {
    let error = DecodeError(
        subject: .message(UInt8(ascii: "I")),
        expected: "'N'",
        found: "'K'",
        offset: 5,
        length: 30
    )

    @Test func `is one line that says what, where and of how much`() {
        #expect("\(error)" == "insert message of 30 bytes: expected 'N', found 'K' at byte 5")
    }

    @Test func `of the stream reaches the operator with the position`() {
        let told = error.walrelayError(at: LSN(0x16_B374_D848))
        #expect(told.code == "stream.malformed")
        #expect(told.exit == .internalError)
        #expect(told.message.contains("16/B374D848"))
        #expect(told.message.contains("\(error)"))
        #expect(!told.hint.isEmpty)
        #expect(!told.isTransient)
    }

    @Test func `of the snapshot reaches the operator with the table`() {
        let told = error.walrelayError(copying: "public.orders")
        #expect(told.code == "snapshot.malformed")
        #expect(told.exit == .internalError)
        #expect(told.message.contains("public.orders"))
        #expect(!told.hint.isEmpty)
    }
}
