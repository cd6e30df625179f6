// SPDX-License-Identifier: Apache-2.0
//
// From folded changes to hashes, by the source itself under its snapshot: texts are cast to the
// columns' types there, so they look as a row's own values do, and values that were never sent
// come from the snapshot's row.

import ChangeModel
import LibPQ
import Replication

/// Asks the source, whose session sees the snapshot, about rows by their keys.
struct OverlayHashing {
    let table: ComparedTable
    let session: Session

    /// Rows and bytes of one statement.
    private static let rowLimit = 500
    private static let byteLimit = 512 << 10

    /// The overlay of the table's row comparison; blocks.
    func overlay(of folded: FoldedTable) throws(WalrelayError) -> RowOverlay {
        var overlay = RowOverlay()
        if table.isKeyless {
            overlay.rows = try images(folded)
        } else {
            overlay.touched = try rows(withKeys: Array(folded.states.keys))
            overlay.rows = try hashed(folded).map(\.row)
        }
        overlay.touched.sort(by: HashedRow.precedes)
        overlay.rows.sort(by: HashedRow.precedes)
        return overlay
    }

    /// The snapshot's rows with these keys, those that the filter takes.
    private func rows(withKeys keys: [PackedRow]) throws(WalrelayError) -> [HashedRow] {
        var found: [HashedRow] = []
        for part in Self.portions(keys, bytes: { $0.bytes.count }) {
            let values = Self.columns(part, count: table.key.count)
            found += try lookUp(values)
        }
        return found
    }

    /// The rows of this side with these keys, given by one list a key column; blocks.
    func lookUp(_ keys: [[String?]]) throws(WalrelayError) -> [HashedRow] {
        try hashedRows(Self.lookUpStatement(table, session.side, keys))
    }

    static func lookUpStatement(_ table: ComparedTable, _ side: Side, _ keys: [[String?]]) -> String
    {
        let list = table.keyTexts(side, prefix: "r.") + [table.hash(side, prefix: "r.")]
        // Matched without the filter first: its columns' names are not to meet those of `v`.
        return """
            SELECT \(list.joined(separator: ", ")) FROM \(ArrayText.rows(keys)) \
            JOIN (SELECT * FROM \(table.from(side))\(table.conditions(side))) r \
            ON \(table.keyMatches(side))
            """
    }

    /// The keys of the snapshot's rows that have changed since; blocks.
    func touchedKeys(_ folded: FoldedTable) throws(WalrelayError) -> [RowKey] {
        try rows(withKeys: Array(folded.states.keys)).map(\.key)
    }

    /// What became of the rows that are there, each with its key and hash; blocks.
    func hashed(
        _ folded: FoldedTable
    ) throws(WalrelayError) -> [(row: HashedRow, state: FoldedTable.State)] {
        var found: [(row: HashedRow, state: FoldedTable.State)] = []
        for group in StateGroup.groups(of: folded, table) {
            for part in Self.portions(group.states, bytes: { $0.row?.bytes.count ?? 0 }) {
                let composed = group.composed(part, table)
                let list =
                    table.keyTexts(.source, of: composed.value)
                    + [table.hash(.source, of: composed.value)]
                let statement =
                    "SELECT \(list.joined(separator: ", ")) FROM \(composed.from) ORDER BY v.i"
                let rows = try hashedRows(statement)
                guard rows.count == part.count else { throw Self.vanished(table) }
                found += zip(rows, part).map { ($0, $1) }
            }
        }
        return found
    }

    private func hashedRows(_ statement: String) throws(WalrelayError) -> [HashedRow] {
        let shape = table.shape
        let result = try session.query(statement, while: "looking rows of \(table.name) up")
        var rows: [HashedRow] = []
        for row in 0..<result.count {
            let texts = (0..<shape.parts.count).map { result.text(row, $0) }
            guard let key = shape.key(of: texts), let hash = result.integer(row, shape.parts.count)
            else { throw Self.vanished(table) }
            rows.append(HashedRow(key: key, value: hash))
        }
        return rows
    }

    /// How many more or fewer rows of each hash there are.
    private func images(_ folded: FoldedTable) throws(WalrelayError) -> [HashedRow] {
        var counts: [Int64: Int64] = [:]
        for part in Self.portions(Array(folded.images), bytes: { $0.key.bytes.count }) {
            let hashes = try hashes(ofImages: part.map(\.key))
            for (hash, entry) in zip(hashes, part) {
                counts[hash, default: 0] += Int64(entry.value)
            }
        }
        return counts.filter { $0.value != 0 }.map { hash, count in
            var key: RowKey = []
            KeyShape.append(hash, to: &key)
            return HashedRow(key: key, value: count)
        }
    }

    /// The hashes of whole rows, in their order; blocks.
    func hashes(ofImages images: [PackedRow]) throws(WalrelayError) -> [Int64] {
        let columns = table.source.relation.columns.count
        // A table without columns has one image, which no list of values can hold.
        let values = columns == 0 ? [images.map { _ in nil }] : Self.columns(images, count: columns)
        let hash = table.hash(.source) { index in
            let column = table.columns[index]
            return "v.c\(column.relationIndex + 1)::\(column.castTypes[0])"
        }
        let result = try session.query(
            "SELECT \(hash) FROM \(ArrayText.rows(values)) ORDER BY v.i",
            while: "hashing rows of \(table.name)"
        )
        guard result.count == images.count else { throw Self.vanished(table) }
        return (0..<result.count).map { result.integer($0, 0) ?? 0 }
    }

    // MARK: Portions

    /// Lists of bounded length and size, in order.
    static func portions<Row>(_ rows: [Row], bytes: (Row) -> Int) -> [ArraySlice<Row>] {
        var portions: [ArraySlice<Row>] = []
        var start = 0
        var size = 0
        for index in rows.indices {
            let more = bytes(rows[index])
            if index > start, index - start >= rowLimit || size + more > byteLimit {
                portions.append(rows[start..<index])
                (start, size) = (index, 0)
            }
            size += more
        }
        if start < rows.count { portions.append(rows[start...]) }
        return portions
    }

    /// Packed rows turned by columns.
    static func columns(_ rows: some Collection<PackedRow>, count: Int) -> [[String?]] {
        var columns = [[String?]](repeating: [], count: count)
        for row in rows {
            let values = row.values
            for index in 0..<count {
                columns[index].append(index < values.count ? values[index].string : nil)
            }
        }
        return columns
    }

    private static func vanished(_ table: ComparedTable) -> WalrelayError {
        WalrelayError(
            "verify.row_vanished",
            exit: .unreachable,
            "A changed row of \(table.name) is not what the source's snapshot lets expect",
            hint: "run verify again",
            isTransient: true
        )
    }
}

/// Changed rows whose values come from the stream and from the snapshot in the same columns.
struct StateGroup {
    /// The columns of the relation that no change has sent.
    var unchanged: Set<Int>
    var states: [FoldedTable.State]

    /// The rows that are there, by what they lack.
    static func groups(of folded: FoldedTable, _ table: ComparedTable) -> [StateGroup] {
        groups(of: folded.states.values, table)
    }

    static func groups(
        of states: some Sequence<FoldedTable.State>,
        _ table: ComparedTable
    ) -> [StateGroup] {
        let compared = Set(table.columns.map(\.relationIndex))
        var groups: [Set<Int>: [FoldedTable.State]] = [:]
        for state in states {
            guard let row = state.row else { continue }
            let unchanged = row.values.indices.filter { row.values[$0] == .unchanged }
            groups[Set(unchanged).intersection(compared), default: []].append(state)
        }
        return groups.map { StateGroup(unchanged: $0, states: $1) }
    }

    /// The rows in a FROM clause, and the SQL of each compared column in it.
    func composed(
        _ states: some Collection<FoldedTable.State>,
        _ table: ComparedTable
    ) -> (from: String, value: (Int) -> String) {
        let keyCount = table.key.count
        let sent = table.columns.indices.filter {
            !unchanged.contains(table.columns[$0].relationIndex)
        }
        var lists = OverlayHashing.columns(states.map(\.base), count: keyCount)
        let rows = states.map { $0.row?.values ?? [] }
        for index in sent {
            let column = table.columns[index].relationIndex
            lists.append(rows.map { column < $0.count ? $0[column].string : nil })
        }
        var places: [Int: Int] = [:]
        for (position, index) in sent.enumerated() { places[index] = keyCount + position + 1 }
        var from = ArrayText.rows(lists)
        if !unchanged.isEmpty {
            from += " JOIN \(table.from(.source)) AS r ON \(table.keyMatches(.source))"
        }
        return (
            from,
            { index in
                let column = table.columns[index]
                return places[index].map { "v.c\($0)::\(column.castTypes[0])" }
                    ?? "r.\(SQL.identifier(column.name))"
            }
        )
    }
}
