// SPDX-License-Identifier: Apache-2.0
//
// Rule 3: a table, or a range of its keys, has a snapshot LSN, and a change is applied only if its
// commit lies at or after it. This is what a checkpoint says of a table that is not simply whole:
// what of it is copied, and as of when.

/// How far the copying of one table is.
///
/// What is copied holds the rows exactly as of the later of `point` and the checkpoint's position.
public struct TableCopy: Sendable, Equatable {
    /// What of a table's rows is copied.
    public enum Progress: Sendable, Equatable {
        /// No row that would count: what there is of it is to be thrown away or read again.
        case nothing
        /// The rows whose key, the value of a column of whole numbers, lies in the ranges.
        case keys(column: String, KeyRanges)
        /// Every row.
        case whole
    }

    /// The table's OID.
    public var oid: UInt32
    /// The snapshot LSN: a change that was committed before it is in the copied rows already.
    public var point: LSN
    /// What is copied.
    public var progress: Progress
    /// How many rows were copied, for people.
    public var rows: Int64
    /// How many bytes of COPY were copied, for people.
    public var bytes: Int64

    /// Whether all rows are asked for once more, while what is there goes on to be kept right.
    public var isAsked = false

    /// Creates what is known of a table.
    public init(
        oid: UInt32,
        point: LSN,
        progress: Progress = .nothing,
        rows: Int64 = 0,
        bytes: Int64 = 0
    ) {
        self.oid = oid
        self.point = point
        self.progress = progress
        self.rows = Self.counted(rows)
        self.bytes = Self.counted(bytes)
    }

    /// Adds what another copy of the same table brings; all that is everything becomes `whole`.
    ///
    /// Ranges of another column than those that are there are left out: they would be read again.
    public mutating func add(_ other: TableCopy) {
        rows = Self.counted(rows + other.rows)
        bytes = Self.counted(bytes + other.bytes)
        switch (progress, other.progress) {
        case (.whole, _), (_, .nothing): break
        case (_, .whole): progress = .whole
        case (.nothing, .keys(let column, let ranges)):
            progress = ranges.isEverything ? .whole : .keys(column: column, ranges)
        case (.keys(let column, var ranges), .keys(let added, let more)):
            guard ExactText(column) == ExactText(added) else { return }
            ranges.formUnion(more)
            progress = ranges.isEverything ? .whole : .keys(column: column, ranges)
        }
    }
}

extension TableCopy {
    /// A count within bounds that thousands of tables can be summed up in.
    ///
    /// Counts are told to people and decide nothing: one that a damaged document makes up is cut.
    private static func counted(_ count: Int64) -> Int64 { min(max(0, count), 1 << 50) }
}

extension TableCopy: Codable {
    private enum Key: String, CodingKey {
        case oid, point, column, ranges, whole, rows, bytes, asked
    }

    /// Decodes what `encode` has written.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        oid = try values.decode(UInt32.self, forKey: .oid)
        point = try values.decode(LSN.self, forKey: .point)
        rows = Self.counted(try values.decodeIfPresent(Int64.self, forKey: .rows) ?? 0)
        bytes = Self.counted(try values.decodeIfPresent(Int64.self, forKey: .bytes) ?? 0)
        isAsked = try values.decodeIfPresent(Bool.self, forKey: .asked) ?? false
        if try values.decodeIfPresent(Bool.self, forKey: .whole) ?? false {
            progress = .whole
        } else if let column = try values.decodeIfPresent(String.self, forKey: .column) {
            progress = .keys(
                column: column,
                try values.decode(KeyRanges.self, forKey: .ranges)
            )
        } else {
            progress = .nothing
        }
    }

    /// Encodes `whole`, or `column` and `ranges`, or neither where nothing is copied.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Key.self)
        try values.encode(oid, forKey: .oid)
        try values.encode(point, forKey: .point)
        try values.encode(rows, forKey: .rows)
        try values.encode(bytes, forKey: .bytes)
        if isAsked { try values.encode(true, forKey: .asked) }
        switch progress {
        case .nothing: break
        case .whole: try values.encode(true, forKey: .whole)
        case .keys(let column, let ranges):
            try values.encode(column, forKey: .column)
            try values.encode(ranges, forKey: .ranges)
        }
    }
}
