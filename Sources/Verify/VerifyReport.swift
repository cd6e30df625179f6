// SPDX-License-Identifier: Apache-2.0
//
// What a comparison has found, for people and for programs.

public import ChangeModel

/// What became of a whole comparison.
public struct VerifyReport: Sendable, Codable {
    /// What became of one table.
    public struct Table: Sendable, Codable {
        /// `schema.name` on the source.
        @ExactText public var table: String
        /// `schema.name` on the target.
        public var target: String
        /// Rows that the target should hold.
        public var rows: Int64
        /// Rows that the target lacks.
        public var missing: Int
        /// Rows that only the target has.
        public var extra: Int
        /// Rows with other values.
        public var changed: Int
        /// The columns of the key; empty where only whole rows could be compared.
        public var key: [String]
        /// Where the differences lie, the first ones.
        public var ranges: [DifferingRange]
        /// The ranges beyond those.
        public var moreRanges: Int
        /// What a repair did, where there was one.
        public var mended: Mended?
        /// What the operator should know, such as a column that was not compared.
        public var notes: [String]

        /// Whether the target holds what it should.
        public var isEqual: Bool { missing == 0 && extra == 0 && changed == 0 }
    }

    /// What a repair did to one table.
    public struct Mended: Sendable, Codable, Equatable {
        /// Rows that were missing.
        public var inserted = 0
        /// Rows that should not have been there.
        public var deleted = 0
        /// Rows that had other values.
        public var replaced = 0

        /// Nothing yet.
        public init() {}

        /// All of them.
        public var count: Int { inserted + deleted + replaced }
    }

    /// The position of the source's snapshot.
    public var sourceLSN: String
    /// The position of the target: what the source had come to when all of its state was compared.
    public var targetLSN: String
    /// Changes of the compared tables between the two.
    public var changesBetween: Int
    /// How long it took.
    public var seconds: Double
    /// The longest time for which a repair held the task back, in seconds.
    public var heldSeconds: Double = 0
    /// The tables in the order of their names.
    public var tables: [Table]

    /// Whether every table is equal.
    public var isEqual: Bool { tables.allSatisfy(\.isEqual) }
    /// Rows of all tables.
    public var rows: Int64 { tables.reduce(0) { $0 + $1.rows } }
}
