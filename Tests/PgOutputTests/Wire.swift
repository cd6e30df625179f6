// SPDX-License-Identifier: Apache-2.0
//
// Builds messages byte by byte, as the layout tables say, and decodes them the way the session
// does: payload into the arena, cells beside it.

import ChangeModel
import PgOutput
import Testing

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

/// Decodes one message that stands alone.
func decode(_ wire: Wire) throws(DecodeError) -> Message {
    var decoded = Decoded()
    return try decoded.decode(wire.bytes)
}

/// The error that bytes end in; records an issue where they decode.
func fault(
    _ bytes: [UInt8],
    sourceLocation: SourceLocation = #_sourceLocation
) -> DecodeError? {
    // Cells of earlier messages, which an error must leave as they are.
    let former = [Cell(offset: 7, length: 9), .unchanged]
    var cells = former
    do throws(DecodeError) {
        let message = try PgOutputDecoder().decode(bytes.span, arenaOffset: 0, cells: &cells)
        Issue.record("decoded as \(message)", sourceLocation: sourceLocation)
        return nil
    } catch {
        #expect(cells == former, "an error leaves no cells", sourceLocation: sourceLocation)
        #expect(error.length == bytes.count, sourceLocation: sourceLocation)
        return error
    }
}

/// Holds that every true prefix of a message is refused where it ends or before, and that a byte
/// more is refused where it stands.
func expectEveryLengthMatters(
    _ wire: Wire,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    for length in 0..<wire.bytes.count {
        let error = fault(Array(wire.bytes[..<length]), sourceLocation: sourceLocation)
        guard let error else { continue }
        #expect((0...length).contains(error.offset), "\(error)", sourceLocation: sourceLocation)
        let kind = length == 0 ? 0 : wire.bytes[0]
        #expect(error.subject == .message(kind), sourceLocation: sourceLocation)
    }
    let error = fault(wire.bytes + [0], sourceLocation: sourceLocation)
    #expect(error?.expected == "the end", sourceLocation: sourceLocation)
    #expect(error?.offset == wire.bytes.count, sourceLocation: sourceLocation)
}
