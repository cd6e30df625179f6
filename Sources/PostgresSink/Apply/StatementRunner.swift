// SPDX-License-Identifier: Apache-2.0
//
// From rows to the wire: picks the cells that a statement takes, makes arrays or the rows of a COPY
// of them and has the server execute it. All memory is kept from use to use; what one huge row
// needed is given back.

import ChangeModel
import LibPQ

/// Executes statements on sets of rows; one for a session on the target.
struct StatementRunner: ~Copyable {
    /// Bytes of values that a COPY gathers before it hands them to the socket.
    private static let sliceBytes = 256 << 10

    private var statements: StatementCache
    private var picked = PickedRows()
    private var arrays = TextArrays()
    private var binaryTables = BinaryTables()
    private var copyBytes = WireBuffer(capacity: 64 << 10)

    /// A runner for a new session that keeps at most `statementLimit` statements prepared.
    init(statementLimit: Int = 256) {
        statements = StatementCache(limit: statementLimit)
    }

    /// Forgets what was prepared: the session is gone.
    mutating func forget() {
        statements.removeAll()
        binaryTables.removeAll()
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
    ///
    /// Binary as far as every value is understood, and the rest as text.
    mutating func copy(
        _ rows: [NetRow],
        from source: some CellSource,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws -> Int {
        var next = 0
        var count = 0
        if !rows.isEmpty, let values = binaryTables.values(of: scope.table, on: connection) {
            count += try copy(rows, &next, as: values, from: source, scope, on: connection)
        }
        if next < rows.count {
            count += try copy(rows, &next, as: nil, from: source, scope, on: connection)
        }
        return count
    }

    /// Copies in one format, as text where `values` is `nil`; moves `next` to the rows that it
    /// does not take.
    private mutating func copy(
        _ rows: [NetRow],
        _ next: inout Int,
        as values: [BinaryValue]?,
        from source: some CellSource,
        _ scope: WriteScope,
        on connection: borrowing Connection
    ) throws -> Int {
        let columns = Array(scope.table.columns.indices)
        let first = next
        var isOpen = false
        var isUnderstood = true
        copyBytes.removeAll()
        defer { copyBytes.removeAll() }
        if values != nil { copyBytes.appendBinaryHeader() }
        do {
            while isUnderstood, next < rows.count {
                let rest = picked.fill(
                    rows,
                    next..<rows.count,
                    columns: columns,
                    from: source,
                    in: scope.batch,
                    limits: .copy
                )
                isUnderstood = try append(as: values, scope)
                if isUnderstood { next = rest }
                let isLast = !isUnderstood || next == rows.count
                // The server is asked only once there is something for it.
                guard next > first else { return 0 }
                if isLast, values != nil { copyBytes.appendBinaryTrailer() }
                guard isLast || copyBytes.count >= Self.sliceBytes else { continue }
                if !isOpen {
                    let statement = TableStatement.copy(scope.table, isBinary: values != nil)
                    try connection.beginCopyIn(statement, within: .seconds(600))
                    isOpen = true
                }
                try flushCopy(on: connection)
            }
        } catch {
            if isOpen { connection.abandonCopyIn("walrelay gave it up") }
            throw error
        }
        return try connection.endCopyIn()
    }

    /// Appends the picked rows; false, and nothing is appended, where one has to go as text.
    private mutating func append(as values: [BinaryValue]?, _ scope: WriteScope) throws -> Bool {
        let outcome: CopyRowsOutcome = scope.batch.bytes.withUnsafeBytes { arena in
            guard let values else {
                return copyBytes.appendCopyText(picked, arena: arena) ? .whole : .unsound
            }
            return copyBytes.appendCopyBinary(picked, as: values, arena: arena)
        }
        guard outcome != .unsound else { throw scope.inconsistency }
        return outcome == .whole
    }

    /// In slices: libpq keeps the memory that it needed for what it was given at once.
    private mutating func flushCopy(on connection: borrowing Connection) throws {
        try copyBytes.withUnsafeBytes { bytes in
            var first = 0
            while first < bytes.count {
                let end = min(bytes.count, first + Self.sliceBytes)
                try connection.copyIn(UnsafeRawBufferPointer(rebasing: bytes[first..<end]))
                first = end
            }
        }
        copyBytes.removeAll()
    }

    private mutating func fillArrays(_ scope: WriteScope) throws {
        let isSound = scope.batch.bytes.withUnsafeBytes { arrays.fill(picked, arena: $0) }
        guard isSound else { throw scope.inconsistency }
    }
}
