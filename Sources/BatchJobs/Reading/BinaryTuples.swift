// SPDX-License-Identifier: Apache-2.0
//
// COPY's binary format as the server sends it, one message a tuple:
//
//   header     11 bytes "PGCOPY\n\377\r\n\0", 4 of flags, 4 with the length of what follows; comes
//              with the first tuple
//   tuple      a 16 bit count of fields, then each field with a 32 bit length
//   trailer    -1 instead of a count, with or without a message of its own

/// Takes header and trailer off the messages of one COPY.
struct BinaryTuples {
    private var isStarted = false

    /// The tuple that a message holds; nil for one that holds none.
    mutating func tuple(in message: Record) -> Record? {
        var rest = message[...]
        if !isStarted {
            isStarted = true
            rest = rest.dropFirst(Self.headerBytes(message))
        }
        // A tuple has its count of fields at least; the trailer is a count of -1.
        guard rest.count >= 2, rest[rest.startIndex] != 0xFF else { return nil }
        return Record(rebasing: rest)
    }

    private static func headerBytes(_ message: Record) -> Int {
        guard message.count >= 19 else { return message.count }
        let length = message[15..<19].reduce(0) { $0 << 8 | Int($1) }
        return 19 + length
    }
}
