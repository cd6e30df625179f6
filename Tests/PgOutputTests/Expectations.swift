// SPDX-License-Identifier: Apache-2.0
//
// What the tests of every message expect alike.

import ChangeModel
import PgOutput
import Testing

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
