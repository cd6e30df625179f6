// SPDX-License-Identifier: Apache-2.0
//
// Many keys in little memory: their bytes one behind the other, and where each ends.

/// Keys in the order in which they were added, up to a bound.
struct KeyList: Sendable, RandomAccessCollection {
    private var bytes: [UInt8] = []
    private var ends: [UInt32] = []
    private let byteLimit: Int

    /// A list that takes about so many bytes at most.
    init(byteLimit: Int) {
        self.byteLimit = Swift.min(byteLimit, Int(UInt32.max))
    }

    var startIndex: Int { 0 }
    var endIndex: Int { ends.count }

    subscript(index: Int) -> RowKey {
        Array(bytes[(index == 0 ? 0 : Int(ends[index - 1]))..<Int(ends[index])])
    }

    /// Adds a key, if there is room for it.
    mutating func append(_ key: RowKey) {
        guard bytes.count + 4 * ends.count + key.count + 4 <= byteLimit else { return }
        bytes += key
        ends.append(UInt32(bytes.count))
    }
}
