// SPDX-License-Identifier: Apache-2.0
//
// How many columns of a terminal a text takes: ideographs and emoji take two, marks that sit on a
// letter none. Terminals differ at the edges; this is what most of them do. Pure.

extension Unicode.Scalar {
    /// Columns: 0, 1 or 2.
    fileprivate var columns: Int {
        guard value >= 0x300 else { return 1 }
        switch properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        if properties.isEmojiPresentation { return 2 }
        return Self.wide.contains { $0.contains(value) } ? 2 : 1
    }

    /// Unicode's East Asian Width, W and F.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF,
        0xA000...0xA4CF, 0xA960...0xA97C, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
        0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x17000...0x18CFF, 0x1B000...0x1B2FF, 0x20000...0x3FFFD,
    ]
}

extension Character {
    /// Columns that it takes: those of its widest scalar.
    var columns: Int { unicodeScalars.map(\.columns).max() ?? 0 }
}

extension String {
    /// Columns that the text takes on one line.
    var columns: Int {
        utf8.allSatisfy { $0 < 0x80 } ? utf8.count : reduce(0) { $0 + $1.columns }
    }

    /// The beginning that fits into so many columns; an ellipsis stands for what does not.
    func cut(toColumns limit: Int) -> String {
        guard columns > limit else { return self }
        var kept = ""
        var left = limit - 1
        for character in self {
            left -= character.columns
            guard left >= 0 else { break }
            kept.append(character)
        }
        return limit > 0 ? kept + "…" : ""
    }
}
