// SPDX-License-Identifier: Apache-2.0
//
// A table or view that a job reads, as the server describes it.

import ChangeModel
import LibPQ

/// A column of a relation.
struct SourceColumn: Sendable, Equatable {
    /// Its name, as the catalog has it.
    @ExactText var name: String
    /// Its type, spelt so that a cast to it changes no value: `bpchar`, not `character`.
    var type: String
    /// Its collation, quoted; nil where it has none or the database's.
    var collation: String?
    /// Whether no row can be NULL there.
    var isNeverNull: Bool
    /// Whether the server computes it; a COPY of the table as it stands takes none of these.
    var isGenerated: Bool
    /// Whether an index can give ranges of its values.
    var isIndexed: Bool
    /// The schema of the operators that compare its values, quoted.
    var operators = "pg_catalog"
}

/// A table, view or foreign table.
struct SourceRelation: Sendable, Equatable {
    /// What kind of relation it is, by pg_class.relkind.
    enum Kind: String, Sendable {
        case table = "r"
        case partitioned = "p"
        case view = "v"
        case materializedView = "m"
        case foreign = "f"
    }

    /// Its OID.
    var oid: UInt32
    /// Its schema.
    var schema: String
    /// Its name.
    var name: String
    /// What kind of relation it is.
    var kind: Kind
    /// Whether other tables inherit from it, or are its partitions.
    var hasChildren: Bool
    /// Whether policies may hide rows from us.
    var hidesRows: Bool
    /// Its columns, in order.
    var columns: [SourceColumn] = []
    /// The bytes of each heap in which its rows lie; nil where some lie elsewhere.
    var heapBytes: [Int64]?
    /// The bytes of a page.
    var pageBytes: Int64 = 8192

    /// Quoted, for SQL.
    var quoted: String { SQL.identifier(schema, name) }
    /// For people.
    var label: String { "\(schema).\(name)" }

    /// The column that somebody wrote as `text`: the exact name first, then as SQL reads it.
    func column(_ text: String) -> SourceColumn? {
        if let column = columns.first(where: { $0.$name == ExactText(text) }) { return column }
        guard let name = WrittenName(text), name.parts.count == 1 else { return nil }
        return columns.first { $0.$name == ExactText(name.parts[0].folded) }
    }

    /// What to say of columns that are not there.
    func missing(_ names: [String], in parameter: String) -> WalrelayError {
        let nearest = names.compactMap { name in
            let bare = WrittenName(name)?.parts.last?.text ?? name
            return Prose.nearest(to: bare, among: columns.map(\.name)).first
        }
        return ReaderFault.missing(
            "job.column_missing",
            "\(label) has no column \(Prose.list(names)) (the reader's \(parameter))",
            nearest: nearest
        )
    }
}
