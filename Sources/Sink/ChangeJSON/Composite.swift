// SPDX-License-Identifier: Apache-2.0
//
// Values made of values. An array literal becomes nested JSON arrays of elements, each encoded by
// its own type; hstore becomes a string that holds a JSON object, as Debezium's
// `hstore.handling.mode = json`, so everything in it is escaped twice.
//
//   array    [bounds=]{item,item,…}   item: array | "quoted \" \\" | unquoted | NULL
//   bounds   [1:2][0:3]               dropped: JSON arrays begin where they begin
//   hstore   "key"=>"value", "key"=>NULL

/// How deep PostgreSQL's arrays may nest (MAXDIM).
private let arrayDimensionLimit = 6

/// What composite values are made with; kept from value to value.
struct CompositeWorkspace: ~Copyable {
    /// Elements without their backslashes, each on top of the one that it is part of.
    var elements = OutputBuffer(capacity: 256)
}

extension ValueWriter {
    /// Appends an array; false where the text is none or an element is not of its type.
    mutating func appendArray(
        _ text: Bytes,
        _ code: ValueCode,
        to buffer: inout OutputBuffer
    )
        -> Bool
    {
        guard var index = Self.endOfBounds(text) else { return false }
        var depth = 0
        var isItemDue = true
        var isJustOpened = false
        while index < text.count {
            let byte = text[index]
            if byte == UInt8(ascii: "}"), depth > 0, !isItemDue || isJustOpened {
                buffer.append("]")
                depth -= 1
                isItemDue = false
                index += 1
                if depth == 0 { return index == text.count }
            } else if isItemDue, byte == UInt8(ascii: "{") {
                guard depth < arrayDimensionLimit else { return false }
                buffer.append("[")
                depth += 1
                isJustOpened = true
                index += 1
                continue
            } else if isItemDue, depth > 0 {
                guard let end = appendElement(text, index, code, to: &buffer) else { return false }
                index = end
                isItemDue = false
            } else if !isItemDue, byte == code.delimiter {
                buffer.append(",")
                isItemDue = true
                index += 1
            } else {
                return false
            }
            isJustOpened = false
        }
        return false
    }

    /// Where the braces begin; `nil` where bounds stand before them that are none.
    private static func endOfBounds(_ text: Bytes) -> Int? {
        guard text.first == UInt8(ascii: "[") else { return 0 }
        for index in text.indices {
            switch text[index] {
            case UInt8(ascii: "="): return text[index - 1] == UInt8(ascii: "]") ? index + 1 : nil
            case UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: ":"), UInt8(ascii: "-"),
                UInt8(ascii: "+"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                continue
            default: return nil
            }
        }
        return nil
    }

    /// Appends the element that begins at `start` and returns where it ends; `nil` on a fault.
    private mutating func appendElement(
        _ text: Bytes,
        _ start: Int,
        _ code: ValueCode,
        to buffer: inout OutputBuffer
    ) -> Int? {
        if text[start] == UInt8(ascii: "\"") {
            return appendQuotedElement(text, start + 1, code, to: &buffer)
        }
        var end = start
        scan: while end < text.count, text[end] != code.delimiter {
            switch text[end] {
            case UInt8(ascii: "}"): break scan
            case UInt8(ascii: "{"), UInt8(ascii: "\""), UInt8(ascii: "\\"): return nil
            default: end += 1
            }
        }
        let element = text.part(start..<end)
        if element.isEmpty { return nil }
        if element.equals("NULL") {
            buffer.append("null")
            return end
        }
        return append(element, as: nodes[Int(code.element)], to: &buffer) ? end : nil
    }

    private mutating func appendQuotedElement(
        _ text: Bytes,
        _ start: Int,
        _ code: ValueCode,
        to buffer: inout OutputBuffer
    ) -> Int? {
        guard let end = Self.endOfQuoted(text, start) else { return nil }
        let quoted = text.part(start..<end)
        let element = nodes[Int(code.element)]
        guard quoted.contains(UInt8(ascii: "\\")) else {
            return append(quoted, as: element, to: &buffer) ? end + 1 : nil
        }
        // The whole value has reserved what all levels together need, so that nothing moves while
        // an element's own elements are put on top of it.
        let base = composite.elements.count
        guard composite.elements.capacity - base >= quoted.count else { return nil }
        let first = UnsafePointer(composite.elements.end)
        var isEscaped = false
        for byte in quoted {
            if !isEscaped, byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else {
                composite.elements.unchecked(byte)
                isEscaped = false
            }
        }
        let plain = Bytes(start: first, count: composite.elements.count - base)
        let isWritten = append(plain, as: element, to: &buffer)
        composite.elements.truncate(to: base)
        return isWritten ? end + 1 : nil
    }

    /// Where the quote that closes stands; `nil` where none does.
    private static func endOfQuoted(_ text: Bytes, _ start: Int) -> Int? {
        var index = start
        while index < text.count {
            switch text[index] {
            case UInt8(ascii: "\""): return index
            case UInt8(ascii: "\\"): index += 2
            default: index += 1
            }
        }
        return nil
    }

    /// Appends hstore; false where the text is none.
    mutating func appendHstore(_ text: Bytes, to buffer: inout OutputBuffer) -> Bool {
        var index = 0
        buffer.append("\"{")
        while index < text.count {
            if index > 0 {
                guard text.part(index..<text.count).hasPrefix(", ") else { return false }
                index += 2
                buffer.append(",")
            }
            guard let key = Self.appendHstoreText(text, index, to: &buffer),
                text.part(key..<text.count).hasPrefix("=>")
            else { return false }
            buffer.append(":")
            index = key + 2
            if text.part(index..<text.count).hasPrefix("NULL") {
                buffer.append("null")
                index += 4
            } else if let end = Self.appendHstoreText(text, index, to: &buffer) {
                index = end
            } else {
                return false
            }
        }
        buffer.append("}\"")
        return true
    }

    /// Appends a quoted key or value as a JSON string within a JSON string.
    private static func appendHstoreText(
        _ text: Bytes,
        _ start: Int,
        to buffer: inout OutputBuffer
    ) -> Int? {
        guard start < text.count, text[start] == UInt8(ascii: "\""),
            let end = endOfQuoted(text, start + 1)
        else { return nil }
        buffer.append("\\\"")
        var index = start + 1
        while index < end {
            if text[index] == UInt8(ascii: "\\") { index += 1 }
            buffer.reserve(8)
            buffer.uncheckedTwiceEscaped(text[index])
            index += 1
        }
        buffer.append("\\\"")
        return end + 1
    }
}

extension OutputBuffer {
    /// Appends one byte of a string that stands in a string; at most 7 bytes.
    fileprivate mutating func uncheckedTwiceEscaped(_ byte: UInt8) {
        guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else {
            unchecked(byte)
            return
        }
        unchecked("\\\\")
        switch Escape.letter(byte) {
        case .some(byte):
            // A quote or a backslash, which the outer string escapes again.
            unchecked(UInt8(ascii: "\\"))
            unchecked(byte)
        case .some(let letter):
            unchecked(letter)
        case nil:
            unchecked("u00")
            unchecked(Escape.hexDigit(byte >> 4))
            unchecked(Escape.hexDigit(byte & 15))
        }
    }
}
