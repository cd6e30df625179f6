// SPDX-License-Identifier: Apache-2.0
//
// Builds messages byte by byte, as the layout tables say, and decodes them the way the session
// does: payload into the arena, cells beside it.

import ChangeModel
import PgOutput

/// Bytes in the making, big-endian.
struct Wire {
    var bytes: [UInt8] = []

    static func message(_ kind: Character) -> Wire { Wire().byte(kind) }

    func byte(_ character: Character) -> Wire { byte(character.asciiValue ?? 0) }
    func byte(_ value: UInt8) -> Wire { adding([value]) }
    func int16(_ value: Int) -> Wire { number(value, bytes: 2) }
    func int32(_ value: Int) -> Wire { number(value, bytes: 4) }
    func int64(_ value: Int) -> Wire { number(value, bytes: 8) }
    func name(_ text: String) -> Wire { adding(Array(text.utf8) + [0]) }
    func text(_ text: String) -> Wire { adding(Array(text.utf8)) }

    func adding(_ more: [UInt8]) -> Wire { Wire(bytes: bytes + more) }

    private func number(_ value: Int, bytes count: Int) -> Wire {
        adding((1...count).map { UInt8(truncatingIfNeeded: value >> (8 * (count - $0))) })
    }

    /// A column of a tuple.
    enum Value {
        case null
        case unchanged
        case text(String)
    }

    func tuple(_ values: Value...) -> Wire {
        values.reduce(int16(values.count)) { wire, value in
            switch value {
            case .null: wire.byte("n")
            case .unchanged: wire.byte("u")
            case .text(let text): wire.byte("t").int32(text.utf8.count).text(text)
            }
        }
    }
}

/// What a session keeps: the arena and the cells of the messages so far.
struct Decoded {
    var arena: [UInt8] = []
    var cells: [Cell] = []

    /// Decodes a payload and appends it to the arena.
    mutating func decode(_ payload: [UInt8]) throws(DecodeError) -> Message {
        let message = try PgOutputDecoder().decode(
            payload.span,
            arenaOffset: arena.count,
            cells: &cells
        )
        arena.append(copying: payload.span)
        return message
    }

    /// The tuple as text; what is no value is written in angle brackets.
    func texts(_ tuple: TupleCells) -> [String] {
        tuple.indices.map { index in
            let cell = cells[index]
            switch cell {
            case .null: return "<null>"
            case .unchanged: return "<unchanged>"
            case .absent: return "<absent>"
            default:
                let start = Int(cell.offset)
                return String(decoding: arena[start..<(start + Int(cell.length))], as: UTF8.self)
            }
        }
    }
}
