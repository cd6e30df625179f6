// SPDX-License-Identifier: Apache-2.0

extension UnsafeBufferPointer<UInt8> {
    /// Whether the bytes are well-formed UTF-8 (no overlong forms, surrogates or truncation).
    var isUTF8: Bool {
        var index = 0
        while index < count {
            if count - index >= 8, let base = baseAddress, Word.load(base + index) & Word.highs == 0
            {
                index += 8
                continue
            }
            let length = lengthOfScalar(at: index)
            guard length > 0 else { return false }
            index += length
        }
        return true
    }

    /// How many bytes the scalar at `index` takes; 0 where there is none.
    private func lengthOfScalar(at index: Int) -> Int {
        let first = self[index]
        if first < 0x80 { return 1 }
        let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        guard first >= 0xC2, first < 0xF5, index + length <= count else { return 0 }
        let second = self[index + 1]
        let allowed: ClosedRange<UInt8> =
            switch first {
            case 0xE0: 0xA0...0xBF
            case 0xED: 0x80...0x9F
            case 0xF0: 0x90...0xBF
            case 0xF4: 0x80...0x8F
            default: 0x80...0xBF
            }
        guard allowed.contains(second) else { return 0 }
        for offset in stride(from: 2, to: length, by: 1)
        where self[index + offset] & 0xC0 != 0x80 {
            return 0
        }
        return length
    }
}
