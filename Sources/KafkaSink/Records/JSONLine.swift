// SPDX-License-Identifier: Apache-2.0
//
// The small JSON text that this room writes itself: dead letters. None is written per row.

#if Kafka

/// A text that grows.
struct JSONLine {
    private(set) var bytes: [UInt8] = []

    /// Appends text as it is.
    mutating func raw(_ text: String) {
        bytes.append(contentsOf: text.utf8)
    }

    /// Appends bytes as they are.
    mutating func raw(_ text: UnsafeRawBufferPointer) {
        bytes.append(contentsOf: text)
    }

    /// Appends a string in quotes.
    mutating func quoted(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0..<0x20:
                raw(byte < 0x10 ? "\\u000" : "\\u00")
                raw(String(byte, radix: 16))
            default:
                bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
#endif
