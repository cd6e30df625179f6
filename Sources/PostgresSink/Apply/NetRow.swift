// SPDX-License-Identifier: Apache-2.0

/// A row that folded changes come to: small numbers only, the values stay in the batch.
struct NetRow: Sendable, Equatable {
    /// The first of the row's cells: in the batch, or among the merged cells of who folded.
    var firstCell: UInt32
    /// Index of the last change that had to do with the row, to name its position in an error.
    var change: UInt32
    /// Number of the row's mask among those of who folded.
    var mask: UInt8 = 0
    /// Whether the cells come from several changes and therefore do not stand in the batch.
    var isMerged = false
}

/// Columns of a table, such as those that an update leaves unchanged.
///
/// Equal for equal columns, so that it can name a prepared statement.
struct ColumnMask: Sendable, Hashable {
    /// 64 columns a word; no word where there is no column.
    private let words: [UInt64]

    /// No column.
    static let none = ColumnMask(words: [])

    /// The columns whose bits are set, 64 a word.
    init(words: ArraySlice<UInt64>) {
        self.words = words.allSatisfy { $0 == 0 } ? [] : Array(words)
    }

    /// Whether there is no column.
    var isEmpty: Bool { words.isEmpty }

    /// Whether a column, counted from 0, is among them.
    func contains(_ column: Int) -> Bool {
        let word = column >> 6
        return word < words.count && words[word] >> UInt64(column & 63) & 1 == 1
    }
}
