// SPDX-License-Identifier: Apache-2.0
//
// Rule 3 for the changes of one table of which not all is copied yet:
//
//   committed before the table's point    left out: the copied rows have it
//   a row that is copied                  taken
//   a row that is not                     left out: it will be read as of a later point
//   an UPDATE out of what is copied       a DELETE of the old row
//   an UPDATE into what is copied         an INSERT, if the new row is whole
//   the same, with unchanged values       left out, and its key is not copied any more: nothing is
//   that were not sent                    at the sink under that key, so the key is read again
//
// Where uncopied rows are shown too, every change from the point on is taken as it is; only the
// last case still makes a hole, since nobody has the values that were not sent.

import ChangeModel

/// What is done with the changes of one table.
struct CopyFilter {
    /// What becomes of a change.
    enum Verdict: Equatable {
        case take
        case leaveOut
        case asDelete
        case asInsert
    }

    /// So many ranges of keys are told apart; a change that would make more is refused.
    static let rangeLimit = 4_096

    /// What is copied, holes included that this filter has made.
    private(set) var copy: TableCopy
    /// Whether `copy` is another one than at the last commit.
    var hasChanged = false
    /// Whether changes of rows that are not copied are taken as they are.
    let takesUncopied: Bool
    /// Where the key's column stands in a tuple; `nil` where it is not sent.
    private(set) var keyIndex: Int?

    init(_ copy: TableCopy, takesUncopied: Bool) {
        self.copy = copy
        self.takesUncopied = takesUncopied
    }

    /// Takes note of what the tuples to come look like.
    mutating func describe(_ relation: Relation) {
        guard case .keys(let column, _) = copy.progress else { return }
        keyIndex = relation.columns.firstIndex { $0.$name == ExactText(column) }
    }

    /// What becomes of a change without a look at its rows; `nil` where that does not say it.
    func verdict(committedAt commitLSN: LSN) -> Verdict? {
        if commitLSN < copy.point { return .leaveOut }
        switch copy.progress {
        case .whole: return .take
        case .nothing: return takesUncopied ? .take : .leaveOut
        case .keys: return nil
        }
    }

    /// What becomes of a change that has no old row (`old`) or no new one.
    ///
    /// `newIsWhole` says whether all values of the new row were sent. May take the new key out of
    /// what is copied; returns `nil` where that made more ranges than are told apart.
    mutating func verdict(old: Int64?, new: Int64?, newIsWhole: Bool) -> Verdict? {
        guard case .keys(let column, var ranges) = copy.progress else { return .take }
        let hadOld = old.map(ranges.contains)
        let hasNew = new.map(ranges.contains)
        if let new, hadOld == false, hasNew == true, !newIsWhole {
            ranges.remove(new)
            copy.progress = ranges.isEmpty ? .nothing : .keys(column: column, ranges)
            hasChanged = true
            if ranges.ranges.count > Self.rangeLimit { return nil }
            return takesUncopied ? .take : .leaveOut
        }
        if takesUncopied { return .take }
        return switch (hadOld, hasNew) {
        case (true, false): .asDelete
        case (false, true): .asInsert
        case (true, _), (nil, true): .take
        default: .leaveOut
        }
    }
}
