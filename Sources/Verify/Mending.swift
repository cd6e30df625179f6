// SPDX-License-Identifier: Apache-2.0
//
// Makes rows of one table of the target what they should be, within the transaction that holds
// the task back: looked up by key on both sides, deleted where they are wrong, and copied from the
// source as COPY gives them.

import ChangeModel
import LibPQ

/// Mends one table.
struct Mending {
    let table: ComparedTable
    let folded: FoldedTable
    /// Sees the source's snapshot; for comparing.
    let keeper: Session
    /// Sees it too; for values.
    let fetch: Session
    /// The target's transaction.
    let writer: Session
    let isReplica: Bool

    /// Rows that are looked up and mended at once.
    private static let batchRows = 500

    /// Mends the rows of these keys as long as it may; blocks.
    func run(
        _ keys: KeyList,
        sourceCounts: [Int64: Int64],
        while mayGoOn: () -> Bool
    ) throws -> VerifyReport.Mended {
        try refuseTriggers()
        if table.isKeyless {
            return try MultisetMending(self).run(
                keys.map { KeyShape.number($0) },
                sourceCounts: sourceCounts
            )
        }
        let states = try statesByKey()
        let touched = Set(
            try OverlayHashing(table: table, session: keeper).touchedKeys(folded)
        )
        var mended = VerifyReport.Mended()
        var start = 0
        while start < keys.count, mended.count == 0 || mayGoOn() {
            let batch = Array(keys[start..<min(keys.count, start + Self.batchRows)])
            mended.add(try mend(batch, states, touched))
            start += batch.count
        }
        return mended
    }

    /// Triggers and foreign keys that cannot be kept out of it would do more than is asked for.
    private func refuseTriggers() throws {
        guard !isReplica else { return }
        let row = try writer.query(
            "SELECT relhastriggers FROM pg_catalog.pg_class "
                + "WHERE oid = \(SQL.literal(table.target.qualifiedName))::pg_catalog.regclass",
            while: "looking at the triggers of \(table.target.name)"
        )
        guard row.flag(0, 0) else { return }
        throw WalrelayError(
            "verify.repair_triggers",
            exit: .prerequisite,
            "\(table.target.schema).\(table.target.name) has triggers or foreign keys, and the "
                + "role of the target may not keep them out of a repair",
            hint: "GRANT SET ON PARAMETER session_replication_role TO that role (15 and later), "
                + "or repair with a superuser in sink.postgresql"
        )
    }

    /// What the stream has made of rows, by their keys.
    private func statesByKey() throws -> [RowKey: (value: Int64, state: FoldedTable.State)] {
        var states: [RowKey: (value: Int64, state: FoldedTable.State)] = [:]
        for (row, state) in try OverlayHashing(table: table, session: keeper).hashed(folded) {
            states[row.key] = (row.value, state)
        }
        return states
    }

    private func mend(
        _ keys: [RowKey],
        _ states: [RowKey: (value: Int64, state: FoldedTable.State)],
        _ touched: Set<RowKey>
    ) throws -> VerifyReport.Mended {
        let lists = columns(keys)
        var expected: [RowKey: Int64] = [:]
        for row in try OverlayHashing(table: table, session: keeper).lookUp(lists)
        where !touched.contains(row.key) {
            expected[row.key] = row.value
        }
        for key in keys { if let state = states[key] { expected[key] = state.value } }
        var actual: [RowKey: [Int64]] = [:]
        for row in try OverlayHashing(table: table, session: writer).lookUp(lists) {
            actual[row.key, default: []].append(row.value)
        }
        var mended = VerifyReport.Mended()
        var wrong: [RowKey] = []
        var due: [RowKey] = []
        for key in keys {
            let (wanted, there) = (expected[key], actual[key] ?? [])
            guard there != (wanted.map { [$0] } ?? []) else { continue }
            if !there.isEmpty { wrong.append(key) }
            if wanted != nil { due.append(key) }
            switch (wanted != nil, !there.isEmpty) {
            case (true, true): mended.replaced += 1
            case (true, false): mended.inserted += 1
            case (false, _): mended.deleted += there.count
            }
        }
        try delete(wrong)
        try insert(due.filter { states[$0] == nil })
        try insert(due.compactMap { states[$0]?.state })
        return mended
    }

    private func columns(_ keys: [RowKey]) -> [[String?]] {
        var lists = [[String?]](repeating: [], count: table.key.count)
        for key in keys {
            for (index, text) in table.shape.texts(of: key).enumerated() {
                lists[index].append(text)
            }
        }
        return lists
    }

    private func delete(_ keys: [RowKey]) throws {
        guard !keys.isEmpty else { return }
        try writer.connection.query(
            "DELETE FROM \(table.from(.target)) AS r USING \(ArrayText.rows(columns(keys))) "
                + "WHERE \(table.keyMatches(.target))",
            within: .seconds(60)
        )
    }

    /// Copies rows that the source's snapshot has.
    private func insert(_ keys: [RowKey]) throws {
        guard !keys.isEmpty else { return }
        let list = names.map { "r.\($0)" }.joined(separator: ", ")
        let statement = """
            SELECT \(list) FROM \(ArrayText.rows(columns(keys))) \
            JOIN (SELECT * FROM \(table.from(.source))\(table.conditions(.source))) r \
            ON \(table.keyMatches(.source))
            """
        try copy(statement, count: keys.count)
    }

    /// Copies rows that the stream has changed since.
    private func insert(_ states: [FoldedTable.State]) throws {
        for group in StateGroup.groups(of: states, table) {
            let composed = group.composed(group.states, table)
            let values = table.columns.indices.map(composed.value).joined(separator: ", ")
            try copy("SELECT \(values) FROM \(composed.from)", count: group.states.count)
        }
    }

    private var names: [String] { table.columns.map { SQL.identifier($0.name) } }

    /// Passes the rows of a query of the source on to the target; `count` says how many are due.
    func copy(_ query: String, count: Int) throws {
        let columns = names.isEmpty ? "" : " (\(names.joined(separator: ", ")))"
        try fetch.query("COPY (\(query)) TO STDOUT", while: "reading rows of \(table.name)")
        try writer.connection.beginCopyIn(
            "COPY \(table.target.qualifiedName)\(columns) FROM STDIN"
        )
        let taken: Int
        do {
            try fetch.connection.copyOut { try writer.connection.copyIn($0) }
            taken = try writer.connection.endCopyIn()
        } catch {
            writer.connection.abandonCopyIn("the repair failed")
            throw error
        }
        guard taken == count else {
            throw WalrelayError(
                "verify.row_vanished",
                exit: .unreachable,
                "\(count) rows of \(table.name) were due and \(taken) came",
                hint: "run verify --repair again"
            )
        }
    }
}

extension VerifyReport.Mended {
    /// Adds what another batch did.
    mutating func add(_ other: Self) {
        inserted += other.inserted
        deleted += other.deleted
        replaced += other.replaced
    }
}

extension Mending {
    /// How often rows of these hashes are on the session's side; reads the whole table.
    static func counts(
        of hashes: [Int64],
        _ table: ComparedTable,
        on session: Session
    ) throws(WalrelayError) -> [Int64: Int64] {
        guard !hashes.isEmpty else { return [:] }
        let list = ArrayText.array(hashes.map { String($0) })
        let rows = try session.query(
            """
            SELECT h, count(*) FROM (SELECT \(table.hash(session.side)) AS h \
            FROM \(table.from(session.side))\(table.conditions(session.side)) OFFSET 0) r \
            WHERE h = ANY ('\(list)'::bigint[]) GROUP BY h
            """,
            while: "counting rows of \(table.name)",
            within: session.side == .source ? Session.scanLimit : .seconds(60)
        )
        var counts: [Int64: Int64] = [:]
        for row in 0..<rows.count {
            counts[rows.integer(row, 0) ?? 0] = rows.integer(row, 1)
        }
        return counts
    }
}
