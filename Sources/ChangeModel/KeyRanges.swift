// SPDX-License-Identifier: Apache-2.0
//
// A set of whole numbers as ascending, disjoint ranges: the keys of a table whose rows are copied.
// Neighbours are merged, so that a copy that goes on in order stays one range however long it
// takes.

/// The whole numbers from `lower` up to, not including, `upper`; `nil` is open.
public struct KeyRange: Sendable, Hashable {
    /// The least number of the range; `nil` where it has no beginning.
    public var lower: Int64?
    /// The least number above the range; `nil` where it has no end.
    public var upper: Int64?

    /// Creates a range.
    public init(_ lower: Int64?, _ upper: Int64?) {
        self.lower = lower
        self.upper = upper
    }

    /// All numbers.
    public static let everything = KeyRange(nil, nil)

    /// One number.
    public init(_ key: Int64) {
        self.init(key, key == .max ? nil : key + 1)
    }

    /// Whether no number lies in it.
    public var isEmpty: Bool {
        guard let upper else { return false }
        return lower.map { $0 >= upper } ?? (upper == .min)
    }

    /// Whether a number lies in it.
    public func contains(_ key: Int64) -> Bool {
        lower.map { key >= $0 } ?? true && upper.map { key < $0 } ?? true
    }
}

/// A set of whole numbers.
public struct KeyRanges: Sendable, Hashable {
    /// Ascending; between any two of them lies at least one number that belongs to neither.
    public private(set) var ranges: [KeyRange] = []

    /// No number.
    public init() {}

    /// The union of ranges.
    public init(_ ranges: some Sequence<KeyRange>) {
        for range in ranges { insert(range) }
    }

    /// Whether no number lies in it.
    public var isEmpty: Bool { ranges.isEmpty }

    /// Whether every number lies in it.
    public var isEverything: Bool { ranges == [.everything] }

    /// Whether a number lies in it; the time is the logarithm of the number of ranges.
    public func contains(_ key: Int64) -> Bool {
        let index = firstIndex { $0.upper.map { $0 > key } ?? true }
        return index < ranges.count && ranges[index].contains(key)
    }

    /// Adds the numbers of a range.
    public mutating func insert(_ range: KeyRange) {
        guard !range.isEmpty else { return }
        // Those that touch the range, be it only end to beginning, become one with it.
        let first = firstIndex { Self.reaches($0.upper, range.lower) }
        let end = firstIndex { !Self.reaches(range.upper, $0.lower) }
        var merged = range
        if first < end {
            merged.lower = Self.least(range.lower, ranges[first].lower)
            merged.upper = Self.greatest(range.upper, ranges[end - 1].upper)
        }
        // The bounds of an open range say that it goes to the end of what there is.
        if merged.lower == .min { merged.lower = nil }
        ranges.replaceSubrange(first..<max(first, end), with: [merged])
    }

    /// Adds the numbers of another set.
    public mutating func formUnion(_ other: KeyRanges) {
        for range in other.ranges { insert(range) }
    }

    /// Takes a number out.
    public mutating func remove(_ key: Int64) {
        let index = firstIndex { $0.upper.map { $0 > key } ?? true }
        guard index < ranges.count, ranges[index].contains(key) else { return }
        let range = ranges[index]
        let rest = [KeyRange(range.lower, key), KeyRange(KeyRange(key).upper ?? .max, range.upper)]
        // Nothing lies above the greatest number.
        let kept = (key == .max ? [rest[0]] : rest).filter { !$0.isEmpty }
        ranges.replaceSubrange(index...index, with: kept)
    }

    /// The numbers that do not lie in it.
    public var complement: KeyRanges {
        var gaps = KeyRanges()
        var lower: Int64?
        for range in ranges {
            if range.lower != nil { gaps.ranges.append(KeyRange(lower, range.lower)) }
            guard let upper = range.upper else { return gaps }
            lower = upper
        }
        gaps.ranges.append(KeyRange(lower, nil))
        return gaps
    }

    /// The parts of a range that do not lie in it.
    public func missing(of range: KeyRange) -> [KeyRange] {
        complement.ranges.compactMap { gap in
            let lower = Self.greatestLower(gap.lower, range.lower)
            let upper = Self.leastUpper(gap.upper, range.upper)
            let part = KeyRange(lower, upper)
            return part.isEmpty ? nil : part
        }
    }

    // MARK: - Bounds

    /// The index of the first range of which something holds that holds of all after it.
    private func firstIndex(where holds: (KeyRange) -> Bool) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if holds(ranges[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// Whether what ends at `upper` comes up to what begins at `lower`.
    private static func reaches(_ upper: Int64?, _ lower: Int64?) -> Bool {
        guard let upper, let lower else { return true }
        return upper >= lower
    }

    private static func least(_ left: Int64?, _ right: Int64?) -> Int64? {
        guard let left, let right else { return nil }
        return min(left, right)
    }

    private static func greatest(_ left: Int64?, _ right: Int64?) -> Int64? {
        guard let left, let right else { return nil }
        return max(left, right)
    }

    private static func greatestLower(_ left: Int64?, _ right: Int64?) -> Int64? {
        guard let left, let right else { return left ?? right }
        return max(left, right)
    }

    private static func leastUpper(_ left: Int64?, _ right: Int64?) -> Int64? {
        guard let left, let right else { return left ?? right }
        return min(left, right)
    }
}

extension KeyRanges: Codable {
    /// Decodes pairs of bounds; throws where they do not ascend.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        for pair in try container.decode([[Int64?]].self) {
            guard pair.count == 2 else {
                throw DecodingError.dataCorruptedError(
                    in: container,
                    debugDescription: "a range has two bounds, not \(pair.count)"
                )
            }
            let range = KeyRange(pair[0], pair[1])
            let ascends = ranges.last.map { former in
                former.upper.flatMap { end in range.lower.map { $0 > end } } ?? false
            }
            guard !range.isEmpty, ascends ?? true else {
                throw DecodingError.dataCorruptedError(
                    in: container,
                    debugDescription: "the ranges do not ascend"
                )
            }
            insert(range)
        }
    }

    /// Encodes pairs of bounds: `[[null,5],[7,9]]`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(ranges.map { [$0.lower, $0.upper] })
    }
}
