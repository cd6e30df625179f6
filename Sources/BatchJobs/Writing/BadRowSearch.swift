// SPDX-License-Identifier: Apache-2.0
//
// Which rows of a batch are to be tried next, once the batch as a whole was refused. A range that
// was refused holds a bad row and is halved, or cut where the server says that the row is; behind a
// bad row nothing is known, and the ranges grow from one row on for as long as they are taken. So a
// batch that holds few bad rows costs few attempts for each, and one that holds nothing else costs
// one attempt a row. Rows are tried in their order, and each is taken or found bad once.

/// The search for the bad rows of a batch; nothing but the order of attempts.
struct BadRowSearch {
    /// How much a range grows after one that was taken.
    private static let growth = 4

    private let count: Int
    private var next = 0
    private var stride: Int
    /// The end of a range from `next` on that was refused as a whole.
    private var refusedEnd: Int?
    /// The row that the server has named as the bad one.
    private var suspect: Int?

    /// A search among rows none of which is known to be good or bad.
    init(count: Int) {
        self.count = count
        stride = count
    }

    /// The rows to try; nil once all are taken or bad.
    var range: Range<Int>? {
        guard next < count else { return nil }
        if let suspect { return next..<max(suspect, next + 1) }
        if let refusedEnd { return next..<(next + max(1, (refusedEnd - next) / 2)) }
        return next..<min(count, next + stride)
    }

    /// The rows of `range` were taken.
    mutating func succeeded() {
        guard let range else { return }
        next = range.upperBound
        if let suspect, next > suspect { self.suspect = nil }
        if let refusedEnd, next >= refusedEnd { self.refusedEnd = nil }
        guard refusedEnd == nil else { return }
        stride = min(count, stride * Self.growth)
    }

    /// The rows of `range` were refused; `place` is the row that the server blames, if it says so.
    ///
    /// Returns the row once it is found to be bad.
    mutating func refused(at place: Int?) -> Int? {
        guard let range else { return nil }
        suspect = nil
        guard range.count > 1 else {
            next = range.upperBound
            refusedEnd = nil
            stride = 1
            return range.lowerBound
        }
        refusedEnd = range.upperBound
        if let place, range.contains(place) { suspect = place }
        return nil
    }
}
