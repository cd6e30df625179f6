// SPDX-License-Identifier: Apache-2.0
//
// Tables that somebody wants copied once more: how they are written in a request, and how the wish
// stands in a checkpoint.

extension [TableName] {
    /// The most tables that one request may name.
    public static var wishLimit: Int { 1_000 }

    /// The names as one header: `schema.name`, each part percent-encoded, with commas between.
    public var asHeader: String {
        map { "\(Self.encoded($0.schema)).\(Self.encoded($0.name))" }.joined(separator: ",")
    }

    /// Reads what `asHeader` has written; `nil` for anything else.
    public init?(header: String) {
        self = []
        for entry in header.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = entry.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 2, count < Self.wishLimit,
                let schema = Self.decoded(parts[0]), let name = Self.decoded(parts[1])
            else { return nil }
            append(TableName(schema: schema, name: name))
        }
        if isEmpty { return nil }
    }

    private static func encoded(_ text: String) -> String {
        let digits = [UInt8]("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                bytes.append(byte)
            default:
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(Substring(rest.prefix(2))), radix: 16)
            else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard !bytes.isEmpty, !bytes.contains(0) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension Checkpoint {
    /// Notes that a table is to be copied once more; one of which not all is copied is anyway.
    ///
    /// Throws `snapshot.unknown_table`, exit 77, for a table that the task has not taken.
    public mutating func ask(for name: TableName) throws(WalrelayError) {
        guard
            let relation = relations.first(where: {
                TableName(schema: $0.schema, name: $0.name) == name
            })
        else {
            throw WalrelayError(
                "snapshot.unknown_table",
                exit: .prerequisite,
                "The task has not taken \(name)",
                hint: "put it into tables.include and reload: then it is copied by itself"
            )
        }
        var copy = copy(of: relation.oid)
        guard copy.progress == .whole else { return }
        copy.isAsked = true
        set(copy)
    }
}
