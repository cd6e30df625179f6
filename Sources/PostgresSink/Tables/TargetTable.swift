// SPDX-License-Identifier: Apache-2.0
//
// A table of the target, as one version of a source relation is written to it.

import ChangeModel

/// A table of the target as one version of a relation of the source is written to it.
struct TargetTable: Sendable {
    /// A column that is written.
    struct Column: Sendable {
        /// The name on the target, unquoted; the same as on the source.
        var name: String
        /// SQL, quoted: `format_type(atttypid, -1)` of the target's column.
        var castType: String
        /// The type on the target.
        var typeOID: UInt32
        /// Whether it belongs to `key`.
        var isKey: Bool
    }

    /// The source's version.
    var relation: RelationVersion
    /// The schema on the target, unquoted.
    var schema: String
    /// The name on the target, unquoted.
    var name: String
    /// One a column of `relation.relation.columns`, in the same order.
    var columns: [Column]
    /// Indexes of the columns that identify a row and have a unique index on the target.
    ///
    /// Empty where there is none: then there are only inserts, or rows are told by their image.
    var key: [Int]
    /// Schema and name for SQL.
    var qualifiedName: String
}
