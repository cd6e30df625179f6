// SPDX-License-Identifier: Apache-2.0
//
// Records in COPY's text format: values between tabs, NULL as \N, and a backslash before the bytes
// that would mean something else. Taken apart where somebody has to see the values (a writer that
// does not copy, a dirty record), put together where no server does it.

/// Takes records of COPY's text format apart, and puts them together.
public enum CopyText {
    /// Lends each value of a record, in order, as it stands in it: escaped, `nil` for NULL.
    ///
    /// A record without its newline counts as one with it; there is always at least one value.
    @inlinable
    public static func forEachField(
        of record: Record,
        _ body: (UnsafeRawBufferPointer?) throws -> Void
    ) rethrows {
        var rest = record[...]
        if rest.last == UInt8(ascii: "\n") { rest.removeLast() }
        while true {
            // A tab within a value is escaped, so each one divides.
            let end = rest.firstIndex(of: UInt8(ascii: "\t"))
            let field = UnsafeRawBufferPointer(rebasing: rest[..<(end ?? rest.endIndex)])
            try body(isNull(field) ? nil : field)
            guard let end else { return }
            rest = rest[(end + 1)...]
        }
    }

    /// Whether a value, escaped as it stands in a record, is NULL.
    @inlinable
    public static func isNull(_ field: UnsafeRawBufferPointer) -> Bool {
        field.count == 2 && field[0] == UInt8(ascii: "\\") && field[1] == UInt8(ascii: "N")
    }

    /// The values of a record, `nil` for NULL; bytes that are no UTF-8 become U+FFFD.
    public static func values(of record: Record) -> [String?] {
        var values: [String?] = []
        var bytes: [UInt8] = []
        forEachField(of: record) { field in
            guard let field else { return values.append(nil) }
            bytes.removeAll(keepingCapacity: true)
            appendUnescaped(field, to: &bytes)
            values.append(String(decoding: bytes, as: UTF8.self))
        }
        return values
    }

    /// Appends the bytes that an escaped value stands for.
    @inlinable
    public static func appendUnescaped(_ field: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        var rest = field[...]
        while let slash = rest.firstIndex(of: UInt8(ascii: "\\")) {
            bytes.append(contentsOf: rest[..<slash])
            rest = rest[(slash + 1)...]
            // The server ends no value in a lone backslash; if one does, it stands for itself.
            bytes.append(unescaped(rest.popFirst() ?? UInt8(ascii: "\\")))
        }
        bytes.append(contentsOf: rest)
    }

    /// Appends a value, escaped, NULL for `nil`; tabs and the newline are the caller's.
    public static func append(_ value: String?, to record: inout [UInt8]) {
        guard var value else {
            record.append(UInt8(ascii: "\\"))
            record.append(UInt8(ascii: "N"))
            return
        }
        value.withUTF8 { append(UnsafeRawBufferPointer($0), to: &record) }
    }

    /// Appends a value, escaped; tabs and the newline are the caller's.
    @inlinable
    public static func append(_ value: UnsafeRawBufferPointer, to record: inout [UInt8]) {
        for byte in value {
            if let letter = escape(byte) {
                record.append(UInt8(ascii: "\\"))
                record.append(letter)
            } else {
                record.append(byte)
            }
        }
    }

    /// The letter that stands behind a backslash for `byte`; nil where it stands for itself.
    @inlinable
    static func escape(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "\\"): byte
        case UInt8(ascii: "\t"): UInt8(ascii: "t")
        case UInt8(ascii: "\n"): UInt8(ascii: "n")
        case UInt8(ascii: "\r"): UInt8(ascii: "r")
        default: nil
        }
    }

    /// What a byte behind a backslash stands for.
    @inlinable
    static func unescaped(_ letter: UInt8) -> UInt8 {
        switch letter {
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "t"): 0x09
        case UInt8(ascii: "v"): 0x0B
        default: letter
        }
    }
}
