// SPDX-License-Identifier: Apache-2.0
//
// A table on both sides, and the pieces of SQL that read it alike there. Only what is published
// is compared: the columns of the relation, and the rows that the filter takes.

import ChangeModel
import LibPQ
import Replication

/// A table of the source and the one that a task keeps of it.
struct ComparedTable: Sendable {
    /// A column that both have.
    struct Column: Sendable {
        @ExactText var name: String
        /// What a text is cast to, on the source and on the target: `format_type(oid, -1)`.
        var castTypes: [String]
        /// The type's OID on the source and on the target.
        var typeOIDs: [UInt32]
        /// Its index in the source's relation.
        var relationIndex: Int
    }

    let source: SourceTable
    let target: TargetTable
    let columns: [Column]
    /// Indexes into `columns` that identify a row; empty where only the whole row does.
    let key: [Int]
    let rendering: Rendering
    /// What the operator should know of this table.
    var notes: [String] = []

    /// `schema.name` on the source, for people.
    var name: String { source.relation.qualifiedName }

    /// Whether rows are told apart by their whole image only.
    var isKeyless: Bool { key.isEmpty }

    /// What the keys of the row comparison are made of.
    var shape: KeyShape {
        if isKeyless { return KeyShape(parts: [KeyShape.Part(name: "hash", isNumber: true)]) }
        return KeyShape(
            parts: key.map { index in
                KeyShape.Part(name: columns[index].name, isNumber: isNumber(columns[index]))
            }
        )
    }

    /// Whether a column holds whole numbers on both sides.
    func isNumber(_ column: Column) -> Bool {
        column.typeOIDs.allSatisfy(Rendering.wholeNumbers.contains)
    }

    // MARK: SQL

    /// The table's rows in a FROM clause; a partitioned table with its partitions.
    func from(_ side: Side) -> String {
        switch side {
        case .source:
            let name = SQL.identifier(source.relation.schema, source.relation.name)
            return source.isPartitioned ? name : "ONLY \(name)"
        case .target:
            return target.isPartitioned ? target.qualifiedName : "ONLY \(target.qualifiedName)"
        }
    }

    /// The tables that hold the rows on one side.
    func storage(_ side: Side) -> [SourceTable.Storage] {
        side == .source ? source.storage : target.storage
    }

    /// The conditions that rows of one side have to meet, and more; with WHERE, or empty.
    func conditions(_ side: Side, and more: [String] = []) -> String {
        // The line feed ends a comment that a filter may close with.
        let filter = side == .source ? source.filter.map { ["(\($0)\n)"] } ?? [] : []
        let all = filter + more
        return all.isEmpty ? "" : " WHERE " + all.joined(separator: " AND ")
    }

    /// The hash of a row; `value` gives the SQL of a column's value, by its index.
    func hash(_ side: Side, of value: (Int) -> String) -> String {
        rendering.hash.sql(image(of: value))
    }

    /// The hash of the row at hand, whose columns have a prefix such as `r.`.
    func hash(_ side: Side, prefix: String = "") -> String {
        hash(side) { prefix + SQL.identifier(columns[$0].name) }
    }

    /// The row's image as text.
    func image(of value: (Int) -> String) -> String {
        let values = columns.indices.map { index in
            let oids = columns[index].typeOIDs
            return rendering.image(of: value(index), typeOIDs: (oids[0], oids[1]))
        }
        return "ROW(\(values.joined(separator: ", ")))::text"
    }

    /// The key's columns as they are printed and taken back; numbers stay numbers.
    func keyTexts(_ side: Side, of value: (Int) -> String) -> [String] {
        key.map { index in
            let column = columns[index]
            return isNumber(column)
                ? value(index)
                : rendering.keyText(of: value(index), typeOID: column.typeOIDs[side.rawValue])
        }
    }

    /// The key's columns of the row at hand.
    func keyTexts(_ side: Side, prefix: String = "") -> [String] {
        keyTexts(side) { prefix + SQL.identifier(columns[$0].name) }
    }

    /// `r."k" = v.c1::type AND …`; `first` is the number of the first of `v`'s columns.
    func keyMatches(_ side: Side, first: Int = 1) -> String {
        key.enumerated().map { position, index in
            let column = columns[index]
            return "r.\(SQL.identifier(column.name)) = "
                + "v.c\(first + position)::\(column.castTypes[side.rawValue])"
        }.joined(separator: " AND ")
    }

    /// The statement that gives (key …, hash) in order, or (hash, count, image) without a key.
    func sortedRows(_ side: Side, among part: RowPart) -> String {
        let conditions = conditions(side, and: part.conditions(of: self))
        if isKeyless {
            let image = image { SQL.identifier(columns[$0].name) }
            // The fence has the hash computed once a row.
            return """
                COPY (SELECT h, count(*), pg_catalog.left(min(t COLLATE pg_catalog."C"), 160) \
                FROM (SELECT \(hash(side)) AS h, \(image) AS t \
                FROM \(from(side))\(conditions) OFFSET 0) r \
                \(part.outerCondition(hash: "h")) GROUP BY h ORDER BY h) TO STDOUT
                """
        }
        let texts = keyTexts(side)
        let inner = texts.enumerated().map { "\($1) AS k\($0)" } + ["\(hash(side)) AS h"]
        let outer = key.indices.map { "k\($0)" } + ["h"]
        let order = zip(key, key.indices).map { index, position in
            isNumber(columns[index]) ? "k\(position)" : rendering.order(of: "k\(position)")
        }
        let fence = part.needsHash ? " OFFSET 0" : ""
        return """
            COPY (SELECT \(outer.joined(separator: ", ")) FROM (SELECT \
            \(inner.joined(separator: ", ")) FROM \(from(side))\(conditions)\(fence)) r \
            \(part.outerCondition(hash: "h")) \
            ORDER BY \((order + ["h"]).joined(separator: ", "))) TO STDOUT
            """
    }
}

/// Which rows of a table are compared one by one.
enum RowPart: Sendable {
    /// Those with a first key column from `lower` up to, not including, `upper`; nil is open.
    case keys(lower: Int64?, upper: Int64?)
    /// Those whose hash falls into a bucket that is marked; `mask` cuts the bucket out of a hash.
    case buckets(marked: [Bool], mask: Int64)
    /// All of them.
    case whole

    /// Whether another part begins where this one ends.
    func ends(where next: RowPart) -> Bool {
        guard case .keys(_, let upper?) = self, case .keys(let lower?, _) = next else {
            return false
        }
        return upper == lower
    }

    var needsHash: Bool {
        if case .buckets = self { true } else { false }
    }

    func conditions(of table: ComparedTable) -> [String] {
        guard case .keys(let lower, let upper) = self, let first = table.key.first else {
            return []
        }
        let column = SQL.identifier(table.columns[first].name)
        return [
            lower.map { "\(column) >= '\($0)'::bigint" },
            upper.map { "\(column) < '\($0)'::bigint" },
        ].compactMap { $0 }
    }

    /// A bit string takes the same time for one bucket and for thousands.
    func outerCondition(hash: String) -> String {
        guard case .buckets(let marked, let mask) = self else { return "" }
        var bytes = [UInt8](repeating: 0, count: (marked.count + 7) / 8)
        for index in marked.indices where marked[index] { bytes[index / 8] |= 1 << (index % 8) }
        let digits = bytes.map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
        return "WHERE pg_catalog.get_bit('\\x\(digits)'::bytea, (\(hash) & \(mask))::int4) = 1"
    }

    /// Whether a row belongs to the part.
    ///
    /// `hash` is the row's; of rows without a key it stands in the key's place.
    func contains(firstKey: Int64?, hash: Int64) -> Bool {
        switch self {
        case .whole: return true
        case .keys(let lower, let upper):
            guard let firstKey else { return false }
            return lower.map { firstKey >= $0 } ?? true && upper.map { firstKey < $0 } ?? true
        case .buckets(let marked, let mask):
            let bucket = Int(hash & mask)
            return marked.indices.contains(bucket) && marked[bucket]
        }
    }
}
