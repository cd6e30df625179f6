// SPDX-License-Identifier: Apache-2.0
//
// What leaves the machine over HTTP names no path of it. Errors name files by their whole path, as
// the log and the terminal need it; here, at the edge, an absolute path is cut down to its last
// part: enough to know the file by for those who know the machine, and nothing of where it lies.

import Pipeline

extension String {
    /// The text with each absolute path in it cut down to its last part.
    ///
    /// A path in quotes goes to the closing one; another ends at a blank or a mark. URLs, positions
    /// such as `16/B374D848` and relative paths stay.
    var withoutPaths: String {
        let bytes = Array(utf8)
        var kept: [UInt8] = []
        var index = 0
        while index < bytes.count {
            guard Self.isPathStart(bytes, at: index) else {
                kept.append(bytes[index])
                index += 1
                continue
            }
            let end = Self.pathEnd(bytes, from: index)
            let parts = bytes[index..<end].split(separator: UInt8(ascii: "/"))
            kept += parts.last ?? []
            index = end
        }
        return String(decoding: kept, as: UTF8.self)
    }

    private static func isPathStart(_ bytes: [UInt8], at index: Int) -> Bool {
        guard bytes[index] == UInt8(ascii: "/"), index + 1 < bytes.count,
            isPathByte(bytes[index + 1])
        else { return false }
        guard index > 0 else { return true }
        let former = bytes[index - 1]
        // Behind a letter, a digit, a dot or another slash it parts something else; behind ~ it
        // begins at nobody's home, behind < it closes an element.
        return !(former < 0x80 && isPathByte(former)) && !"/~<".utf8.contains(former)
    }

    private static func pathEnd(_ bytes: [UInt8], from start: Int) -> Int {
        if start > 0, quotes.contains(bytes[start - 1]),
            let close = bytes[start...].firstIndex(where: { $0 == bytes[start - 1] || $0 == 0x0a }),
            bytes[close] == bytes[start - 1]
        {
            return close
        }
        var end =
            bytes[start...].firstIndex { $0 <= 0x20 || quotes.contains($0) || marks.contains($0) }
            ?? bytes.count
        // A full stop or a colon belongs to the sentence.
        while end > start + 1, ".:!?".utf8.contains(bytes[end - 1]) { end -= 1 }
        return end
    }

    private static func isPathByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...:
            true
        default: byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
        }
    }

    private static let quotes = Array("\"'`".utf8)
    private static let marks = Array("<>|;,()[]{}".utf8)
}

extension TaskStatus {
    /// The status as it may leave the machine.
    var withoutPaths: TaskStatus {
        var status = self
        if let error = status.lastError {
            status.lastError?.message = error.message.withoutPaths
            status.lastError?.hint = error.hint.withoutPaths
        }
        for index in status.warnings.indices {
            status.warnings[index].text = status.warnings[index].text.withoutPaths
        }
        for index in status.recentErrors.indices {
            status.recentErrors[index].message = status.recentErrors[index].message.withoutPaths
            status.recentErrors[index].hint = status.recentErrors[index].hint.withoutPaths
        }
        for case (let name, .text(let text)) in status.sink.details {
            status.sink.details[name] = .text(text.withoutPaths)
        }
        return status
    }
}
