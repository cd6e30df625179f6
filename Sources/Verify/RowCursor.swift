// SPDX-License-Identifier: Apache-2.0
//
// The rows of a COPY … TO STDOUT, one at a time as they are asked for: so two servers can be read
// in step, each held back by the other.

import ChangeModel
import LibPQ
import PgOutput

/// Rows of (key …, hash), or of (hash, count, image), in order.
final class RowCursor: RowSequence {
    private let session: Session
    private let shape: KeyShape
    private let isCounted: Bool
    private var bytes: [UInt8] = []
    private var cells: [Cell] = []
    private(set) var key: RowKey = []
    private(set) var value: Int64 = 0
    private(set) var label = ""

    /// Begins a statement of `ComparedTable.sortedRows`; blocks until the first row is there.
    init(_ statement: String, of table: ComparedTable, on session: Session) throws(WalrelayError) {
        self.session = session
        shape = table.shape
        isCounted = table.isKeyless
        try session.query(
            statement,
            while: "reading rows of \(table.name) of the \(session.side)",
            within: Session.scanLimit
        )
    }

    func advance() throws -> Bool {
        while true {
            switch try session.connection.nextMessage(take) {
            case .message: return true
            case .ended:
                try session.connection.finishCopy(within: .seconds(60))
                return false
            case .wouldBlock: try session.waitForInput()
            }
        }
    }

    private func take(_ row: UnsafeRawBufferPointer) throws {
        bytes.removeAll(keepingCapacity: true)
        cells.removeAll(keepingCapacity: true)
        try CopyRowDecoder.decode(
            row.assumingMemoryBound(to: UInt8.self).span,
            columnCount: shape.parts.count + (isCounted ? 2 : 1),
            into: &bytes,
            cells: &cells
        )
        key.removeAll(keepingCapacity: true)
        for (index, part) in shape.parts.enumerated() {
            guard KeyShape.append(text(index), isNumber: part.isNumber, to: &key) else {
                throw malformed()
            }
        }
        guard let value = KeyShape.parse(text(shape.parts.count)) else { throw malformed() }
        self.value = value
        if isCounted { label = String(decoding: text(2), as: UTF8.self) }
    }

    private func text(_ index: Int) -> ArraySlice<UInt8> {
        let cell = cells[index]
        guard cell.isValue else { return [] }
        return bytes[Int(cell.offset)..<(Int(cell.offset) + Int(cell.length))]
    }

    private func malformed() -> WalrelayError {
        WalrelayError(
            "verify.row_malformed",
            exit: .internalError,
            "A row of the \(session.side) has no key or no hash where one is due"
        )
    }
}
