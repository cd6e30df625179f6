// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct ReplicationFrameTests {
    let data = Wire.message("w").int64(0x10).int64(0x20).int64(-5)
    let keepalive = Wire.message("k").int64(0x40).int64(7).byte(1)

    private func fault(_ bytes: [UInt8]) -> DecodeError? {
        do throws(DecodeError) {
            let frame = try ReplicationFrame.decode(bytes.span)
            Issue.record("decoded as \(frame)")
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [0, 1, 100])
    func `of data says where its payload begins`(payloadLength: Int) throws {
        let bytes = data.bytes + [UInt8](repeating: 0x42, count: payloadLength)
        #expect(
            try ReplicationFrame.decode(bytes.span)
                == .walData(
                    start: LSN(0x10),
                    end: LSN(0x20),
                    sentAt: PostgresTime(microseconds: -5),
                    payloadOffset: 25
                )
        )
    }

    @Test(arguments: [(0, false), (1, true)] as [(UInt8, Bool)])
    func `of a keepalive says whether a reply is asked for`(byte: UInt8, reply: Bool) throws {
        let bytes = Wire.message("k").int64(0x40).int64(7).byte(byte).bytes
        #expect(
            try ReplicationFrame.decode(bytes.span)
                == .keepalive(
                    walEnd: LSN(0x40),
                    sentAt: PostgresTime(microseconds: 7),
                    replyRequested: reply
                )
        )
    }

    @Test func `is refused when cut short`() {
        for wire in [data, keepalive] {
            for length in 0..<wire.bytes.count {
                guard let error = fault(Array(wire.bytes[..<length])) else { continue }
                #expect(error.subject == .frame)
                #expect(error.length == length)
                #expect((0...length).contains(error.offset), "\(error)")
            }
        }
    }

    @Test func `of a keepalive is refused when drawn out`() {
        let error = fault(keepalive.bytes + [0, 0])
        #expect(
            error?.description
                == "replication frame of 20 bytes: expected the end, found 2 more at byte 18"
        )
    }

    @Test func `of another kind is refused`() {
        let error = fault(Wire.message("x").int64(1).int64(1).int64(1).bytes)
        #expect(error?.expected == "'w' or 'k'")
        #expect(error?.found == "'x'")
        #expect(error?.offset == 0)
    }

    @Test func `of a keepalive is refused with a reply byte that is neither 0 nor 1`() {
        #expect(fault(Wire.message("k").int64(1).int64(1).byte(2).bytes)?.offset == 17)
    }
}
