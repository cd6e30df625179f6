// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import LibPQ

/// A table of the target, as one version of a source relation is written to it.
struct TargetTable: Sendable {
    /// A column, in the place of the source's column of the same name.
    struct Column: Sendable {
        /// The column's name on both sides, unquoted.
        var name: String
        /// The type on the target in SQL, quoted, without a modifier.
        var castType: String
        /// The type's OID on the target.
        var typeOID: UInt32
        /// Whether it belongs to `key`.
        var isKey: Bool
    }

    /// The source's version.
    var relation: RelationVersion
    /// The schema's name on the target, unquoted.
    var schema: String
    /// The table's name on the target, unquoted.
    var name: String
    /// One a column of the relation, in the same order.
    var columns: [Column]
    /// Indexes of the columns that identify a row and have a unique index on the target.
    var key: [Int]

    /// The name in SQL.
    var qualifiedName: String { SQL.identifier(schema, name) }
}
