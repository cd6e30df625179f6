// SPDX-License-Identifier: Apache-2.0
//
// From rows to the wire: picks the cells that a statement takes, makes arrays or COPY text of them
// and has the server execute it. All memory is kept from use to use; what one huge row needed is
// given back.

import ChangeModel
import LibPQ

/// Executes statements on sets of rows; one for a session on the target.
struct StatementRunner: ~Copyable {
    /// Bytes of values that a COPY gathers before it hands them to the socket.
    private static let copyBytes = 256 << 10

    private var statements: StatementCache
    private var picked = PickedRows()
    private var arrays = TextArrays()
    private var copyText = WireBuffer(capacity: 64 << 10)

    /// A runner for a new session that keeps at most `statementLimit` statements prepared.
    init(statementLimit: Int = 256) {
        statements = StatementCache(limit: statementLimit)
    }

    /// Forgets what was prepared: the session is gone.
    mutating func forget() {
        statements.removeAll()
    }

    /// Executes a statement on as many of the rows from `next` on as it takes; blocks.
    ///
    /// Moves `next` to where the rest begins. `numbers` has one number a row for the statement
    /// that takes them. Throws `PostgresError`.
    mutating func run(
        _ kind: StatementKind,
        _ rows: [NetRow],
        _ next: inout Int,
        upTo end: Int,
        numbers: [Int] = [],
        from source: some CellSource,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws -> QueryResult {
        let prepared = try statements.statement(kind, for: scope.table, on: connection)
        let first = next
        next = picked.fill(
            rows,
            first..<end,
            columns: prepared.columns,
            from: source,
            in: scope.batch,
            limits: kind == .removeImages ? .wholeTable : .byKey
        )
        try fillArrays(scope)
        if !numbers.isEmpty { arrays.append(numbers[first..<next]) }
        return try arrays.execute(prepared.name, on: connection)
    }

    /// Executes a statement on one row that begins in the batch; blocks.
    ///
    /// `former` is the tuple whose key follows the row's values, for the statement that takes both.
    mutating func run(
        _ kind: StatementKind,
        tuple: UInt32,
        former: UInt32? = nil,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws -> QueryResult {
        let prepared = try statements.statement(kind, for: scope.table, on: connection)
        let key = former == nil ? [] : scope.table.key
        picked.removeAll(width: prepared.columns.count + key.count)
        picked.addCells(scope.batch, first: tuple, columns: prepared.columns)
        if let former { picked.addCells(scope.batch, first: former, columns: key) }
        picked.endRow()
        try fillArrays(scope)
        return try arrays.execute(prepared.name, on: connection)
    }

    /// Which rows of a range are not on the target, by their key; blocks.
    mutating func missing(
        _ rows: [NetRow],
        _ range: Range<Int>,
        from source: some CellSource,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws -> [Int] {
        var places: [Int] = []
        var next = range.lowerBound
        while next < range.upperBound {
            let first = next
            let result = try run(
                .missing,
                rows,
                &next,
                upTo: range.upperBound,
                from: source,
                scope,
                on: connection
            )
            for row in 0..<result.count {
                guard let place = result.integer(row, 0), place >= 1, place <= next - first
                else { continue }
                places.append(first + Int(place) - 1)
            }
        }
        return places
    }

    /// Copies whole rows into the table and returns how many the server took; blocks.
    mutating func copy(
        _ rows: [NetRow],
        from source: some CellSource,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws -> Int {
        try connection.beginCopyIn(TableStatement.copy(scope.table), within: .seconds(600))
        do {
            let columns = Array(scope.table.columns.indices)
            var next = 0
            while next < rows.count {
                next = picked.fill(
                    rows,
                    next..<rows.count,
                    columns: columns,
                    from: source,
                    in: scope.batch,
                    limits: .copy
                )
                let isSound = scope.batch.bytes.withUnsafeBytes {
                    copyText.appendCopyText(picked, arena: $0)
                }
                guard isSound else { throw scope.inconsistency }
                if copyText.count >= Self.copyBytes || next == rows.count {
                    try flushCopy(on: connection)
                }
            }
        } catch {
            copyText.removeAll()
            connection.abandonCopyIn("walrelay gave it up")
            throw error
        }
        return try connection.endCopyIn()
    }

    /// In slices: libpq keeps the memory that it needed for what it was given at once.
    private mutating func flushCopy(on connection: borrowing Connection) throws {
        try copyText.withUnsafeBytes { bytes in
            var first = 0
            while first < bytes.count {
                let end = min(bytes.count, first + Self.copyBytes)
                try connection.copyIn(UnsafeRawBufferPointer(rebasing: bytes[first..<end]))
                first = end
            }
        }
        copyText.removeAll()
    }

    private mutating func fillArrays(_ scope: WriteScope) throws {
        let isSound = scope.batch.bytes.withUnsafeBytes { arrays.fill(picked, arena: $0) }
        guard isSound else { throw scope.inconsistency }
    }
}
