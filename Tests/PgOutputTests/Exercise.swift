// SPDX-License-Identifier: Apache-2.0
//
// What must hold for any bytes at all, shared by the tests and by `scripts/fuzz`. Each decoder is
// held against an inverse or against a plain second implementation:
//
//   a message that decodes, written again from its parts, gives the same bytes
//   a row of COPY decodes to what a byte-by-byte reading of it gives, or both refuse it
//   an error names a byte of the input, in one line, and leaves arena and cells as they were

import ChangeModel
import PgOutput

/// Puts bytes through every decoder of the room; what is wrong with the result, or `nil`.
func exercise(_ bytes: [UInt8]) -> String? {
    exerciseFrame(bytes) ?? exerciseMessage(bytes) ?? exerciseCopyRow(bytes)
}

private let formerArena: [UInt8] = [1, 2, 3]
private let formerCells = [Cell(offset: 0, length: 3), .null]

private func exerciseFrame(_ bytes: [UInt8]) -> String? {
    do throws(DecodeError) {
        var wire: Wire
        switch try ReplicationFrame.decode(bytes.span) {
        case .walData(let start, let end, let sentAt, let payloadOffset):
            wire = Wire.message("w").lsn(start).lsn(end).time(sentAt)
                .adding(Array(bytes[payloadOffset...]))
        case .keepalive(let walEnd, let sentAt, let replyRequested):
            wire = Wire.message("k").lsn(walEnd).time(sentAt).byte(replyRequested ? 1 : 0)
        }
        return wire.bytes == bytes ? nil : "the frame, written again, is \(wire.bytes)"
    } catch {
        return fault(of: error, in: bytes.count)
    }
}

private func exerciseMessage(_ bytes: [UInt8]) -> String? {
    var decoded = Decoded(arena: formerArena, cells: formerCells)
    do throws(DecodeError) {
        let message = try decoded.decode(bytes)
        guard decoded.cells.starts(with: formerCells) else { return "former cells were changed" }
        let used = message.tuples.reduce(formerCells.count) { next, tuple in
            tuple.indices.lowerBound == next ? tuple.indices.upperBound : -1
        }
        guard used == decoded.cells.count else { return "the tuples are not all of the new cells" }
        var end = formerArena.count
        for cell in decoded.cells.dropFirst(formerCells.count) where cell.isValue {
            guard Int(cell.offset) >= end else { return "a value overlaps the one before" }
            end = Int(cell.offset) + Int(cell.length)
            guard end <= decoded.arena.count else { return "a value goes beyond the arena" }
        }
        let candidates = message.wires(of: decoded, payload: bytes).map(\.bytes)
        return candidates.contains(bytes) ? nil : "written again: \(candidates)"
    } catch {
        guard decoded.arena == formerArena, decoded.cells == formerCells else {
            return "an error left cells behind"
        }
        return fault(of: error, in: bytes.count)
    }
}

private func exerciseCopyRow(_ bytes: [UInt8]) -> String? {
    let tabs = bytes.count { $0 == UInt8(ascii: "\t") }
    for columnCount in [tabs + 1, tabs, 3] {
        let expected = plainCopyRow(bytes, columnCount)
        var decoded = Decoded(arena: formerArena, cells: formerCells)
        do throws(DecodeError) {
            try CopyRowDecoder.decode(
                bytes.span,
                columnCount: columnCount,
                into: &decoded.arena,
                cells: &decoded.cells
            )
            guard decoded.arena.starts(with: formerArena), decoded.cells.starts(with: formerCells)
            else { return "former values were changed" }
            var values: [[UInt8]?] = []
            for cell in decoded.cells.dropFirst(formerCells.count) {
                let start = Int(cell.offset)
                let end = start + Int(cell.length)
                guard cell == .null || start >= formerArena.count && end <= decoded.arena.count
                else { return "a value goes beyond the arena" }
                values.append(cell == .null ? nil : Array(decoded.arena[start..<end]))
            }
            if values != expected {
                return
                    "\(columnCount) columns \(values), read plainly \(String(describing: expected))"
            }
        } catch {
            guard decoded.arena == formerArena, decoded.cells == formerCells else {
                return "an error left bytes or cells behind"
            }
            if expected != nil { return "refused (\(error)) what reads plainly" }
            let lineFeed = bytes.last == UInt8(ascii: "\n") ? 1 : 0
            if let fault = fault(of: error, in: bytes.count - lineFeed) { return fault }
        }
    }
    return nil
}

private func fault(of error: DecodeError, in length: Int) -> String? {
    guard error.length == length else { return "an error of another length: \(error)" }
    guard (0...length).contains(error.offset) else { return "an error without a place: \(error)" }
    let text = error.description
    guard !text.utf8.contains(where: { $0 < 0x20 }) else { return "an error of several lines" }
    return text.count < 300 ? nil : "an error that is too long: \(text)"
}

/// A row of COPY, read byte by byte; `nil` where it is malformed.
private func plainCopyRow(_ row: [UInt8], _ columnCount: Int) -> [[UInt8]?]? {
    var rest = row[...]
    if rest.last == UInt8(ascii: "\n") { rest.removeLast() }
    if rest.elementsEqual("\\.".utf8) { return nil }
    if columnCount == 0 { return rest.isEmpty ? [] : nil }
    var values: [[UInt8]?] = []
    var value: [UInt8] = []
    var raw: [UInt8] = []
    func end() {
        values.append(raw.elementsEqual("\\N".utf8) ? nil : value)
        value = []
        raw = []
    }
    while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "\t") {
            end()
        } else if byte == UInt8(ascii: "\n") {
            return nil
        } else if byte == UInt8(ascii: "\\") {
            let before = rest
            guard let escaped = plainEscape(&rest) else { return nil }
            value.append(escaped)
            raw.append(byte)
            raw += before[..<rest.startIndex]
        } else {
            value.append(byte)
            raw.append(byte)
        }
    }
    end()
    return values.count == columnCount ? values : nil
}

private func plainEscape(_ rest: inout ArraySlice<UInt8>) -> UInt8? {
    func digits(_ radix: Int, _ limit: Int) -> UInt8? {
        let text = rest.prefix(limit).prefix {
            Int(String(UnicodeScalar($0)), radix: radix) != nil && $0 < 0x80
        }
        guard let value = Int(String(decoding: text, as: UTF8.self), radix: radix) else {
            return nil
        }
        rest.removeFirst(text.count)
        return UInt8(value & 0xFF)
    }
    if let octal = digits(8, 3) { return octal }
    guard let letter = rest.popFirst() else { return nil }
    let named: [Character: UInt8] = ["b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13]
    if letter == UInt8(ascii: "x"), let byte = digits(16, 2) { return byte }
    return named[Character(UnicodeScalar(letter))] ?? letter
}
