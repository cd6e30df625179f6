// SPDX-License-Identifier: Apache-2.0
//
// The first byte of a pgoutput message: its name for people, and whether protocol 1 has it.

enum MessageKind {
    static let begin = UInt8(ascii: "B")
    static let commit = UInt8(ascii: "C")
    static let origin = UInt8(ascii: "O")
    static let relation = UInt8(ascii: "R")
    static let type = UInt8(ascii: "Y")
    static let insert = UInt8(ascii: "I")
    static let update = UInt8(ascii: "U")
    static let delete = UInt8(ascii: "D")
    static let truncate = UInt8(ascii: "T")
    static let logical = UInt8(ascii: "M")

    static func name(_ kind: UInt8) -> String {
        switch kind {
        case 0: "empty"
        case begin: "begin"
        case commit: "commit"
        case origin: "origin"
        case relation: "relation"
        case type: "type"
        case insert: "insert"
        case update: "update"
        case delete: "delete"
        case truncate: "truncate"
        case logical: "logical"
        default: laterName(kind)?.name ?? "unknown"
        }
    }

    /// What a kind that is not of protocol 1 would be in a later protocol.
    static func laterName(_ kind: UInt8) -> (name: String, since: Int)? {
        switch kind {
        case UInt8(ascii: "S"): ("stream start", 2)
        case UInt8(ascii: "E"): ("stream stop", 2)
        case UInt8(ascii: "c"): ("stream commit", 2)
        case UInt8(ascii: "A"): ("stream abort", 2)
        case UInt8(ascii: "b"): ("begin prepare", 3)
        case UInt8(ascii: "P"): ("prepare", 3)
        case UInt8(ascii: "K"): ("commit prepared", 3)
        case UInt8(ascii: "r"): ("rollback prepared", 3)
        case UInt8(ascii: "p"): ("stream prepare", 3)
        default: nil
        }
    }

    /// A byte for people: the character where it is a visible one, its number otherwise.
    static func printed(_ byte: UInt8) -> String {
        (0x21...0x7E).contains(byte)
            ? "'\(Character(Unicode.Scalar(byte)))'" : "0x\(String(byte, radix: 16))"
    }

    static func unexpected(_ kind: UInt8, length: Int) -> DecodeError {
        let found =
            switch laterName(kind) {
            case .some((let name, let since)):
                "unexpected message kind \(printed(kind)) (\(name), protocol \(since))"
            case nil: "unexpected message kind \(printed(kind))"
            }
        return DecodeError(
            subject: .message(kind),
            expected: "a message of protocol 1",
            found: found,
            offset: 0,
            length: length
        )
    }
}
