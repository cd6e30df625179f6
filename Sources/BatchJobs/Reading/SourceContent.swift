// SPDX-License-Identifier: Apache-2.0
//
// What a job reads, one piece for each table or query, looked at by the server and locked, but not
// divided yet.

import ChangeModel
import LibPQ
import Settings

/// A table with a list of columns and a condition, or a query.
struct SourceContent: Sendable {
    /// A table and what a slice of it adds.
    struct Table: Sendable {
        var relation: SourceRelation
        var list: ColumnList
        var condition: String?
    }

    /// For people: `public.orders`, `querySql 2`.
    var label: String
    /// The table; nil for a query.
    var table: Table?
    /// What reads all of it.
    var statement: ComposedStatement
    /// The columns that the statement returns.
    var columns: [ResultColumn]
    /// About how many rows the statement returns, as the planner sees it.
    var estimatedRows: Int
    /// What running it costs, as the planner sees it; a page read in order is 1.
    var estimatedCost: Double
    /// Whether each row comes from one row of the table alone, so that slices add up.
    var isRowByRow: Bool

    /// The statement that reads the rows for which `extra` holds.
    func statement(where extra: String?) -> ComposedStatement {
        guard let table else { return statement }
        return Self.select(table, where: extra)
    }

    /// The table and its columns as a COPY without a query takes them; nil where none would do.
    ///
    /// Such a COPY reads no child and no computed column.
    var plainTable: String? {
        guard let table, table.condition == nil, table.relation.kind == .table,
            !table.relation.hasChildren, let columns = table.list.plain,
            !columns.contains(where: \.isGenerated),
            Set(columns.map(\.name)).count == columns.count
        else { return nil }
        let names = columns.map { SQL.identifier($0.name) }.joined(separator: ", ")
        return "\(table.relation.quoted) (\(names))"
    }

    private static func select(_ table: Table, where extra: String?) -> ComposedStatement {
        var statement = ComposedStatement("SELECT ")
        statement.append(table.list.statement)
        statement.append(" FROM \(table.relation.quoted)")
        statement.append(filter(table.condition, and: extra))
        return statement
    }

    /// ` WHERE …`, or nothing.
    static func filter(_ condition: String?, and extra: String?) -> ComposedStatement {
        var filter = ComposedStatement()
        if let condition {
            filter.append(" WHERE (")
            filter.append(condition, from: "the reader's where")
            // The line feed ends a comment.
            filter.append("\n)")
        }
        if let extra { filter.append((condition == nil ? " WHERE " : " AND ") + extra) }
        return filter
    }
}

// MARK: Looking at it

extension SourceContent {
    /// Looks at all that a job reads, and locks it for reading until the transaction ends; blocks.
    ///
    /// Throws `WalrelayError`: what the server does not take of the job's words.
    static func all(
        _ content: Job.PostgreSQLReader.Content,
        on connection: borrowing Connection
    ) throws(WalrelayError) -> [SourceContent] {
        var found: [SourceContent] = []
        switch content {
        case .tables(let tables):
            for name in tables.names {
                let relation = try RelationLookup.find(name, on: connection)
                found.append(try SourceContent(relation, tables, on: connection))
            }
        case .queries(let queries):
            for (index, query) in queries.enumerated() {
                let label = queries.count == 1 ? "querySql" : "querySql \(index + 1)"
                found.append(try SourceContent(query: query, label, on: connection))
            }
        }
        guard let first = found.first else {
            throw WalrelayError(
                "job.invalid",
                exit: .settings,
                "the reader has nothing to read",
                hint: "name a table, or give a querySql"
            )
        }
        for other in found where other.columns.count != first.columns.count {
            throw WalrelayError(
                "job.columns_unequal",
                exit: .settings,
                "\(first.label) gives \(Prose.count(first.columns.count, "column")), \(other.label) "
                    + "gives \(other.columns.count): all that one reader reads goes into one table",
                hint: "name the columns instead of *, or make a job of each"
            )
        }
        return found
    }

    private init(
        _ relation: SourceRelation,
        _ tables: Job.PostgreSQLReader.Tables,
        on connection: borrowing Connection
    ) throws(WalrelayError) {
        let table = Table(
            relation: relation,
            list: try ColumnList(tables.columns, of: relation),
            condition: tables.condition
        )
        label = relation.label
        let action = "reading \(label)"
        if let condition = table.condition {
            // In parentheses alone `a) OR (b` would be a condition too.
            var bare = ComposedStatement("SELECT FROM \(relation.quoted) WHERE ")
            bare.append(condition, from: "the reader's where")
            _ = try Self.columns(of: bare, action, on: connection)
        }
        statement = Self.select(table, where: nil)
        columns = try Self.columns(of: statement, action, on: connection)
        guard !columns.isEmpty else {
            throw WalrelayError(
                "job.sql",
                exit: .settings,
                "\(label) has no columns",
                hint: "name a table that has some, or constants as column"
            )
        }
        let outline = try PlanOutline(of: statement, while: action, on: connection)
        (estimatedRows, estimatedCost) = (outline.rows, outline.cost)
        isRowByRow = true
        if table.list.hasExpressions {
            let bare = Self.filter(table.condition, and: nil)
                .between("SELECT FROM \(relation.quoted)")
            isRowByRow =
                try PlanOutline(of: bare, while: action, on: connection).gathering
                == outline.gathering
        }
        self.table = table
    }

    private init(
        query: String,
        _ label: String,
        on connection: borrowing Connection
    ) throws(WalrelayError) {
        let action = "reading \(label)"
        var whole = ComposedStatement()
        whole.append(SQLEnd.trimmed(query), from: "the reader's \(label)")
        columns = try Self.columns(of: whole, action, on: connection)
        let outline: PlanOutline
        do {
            outline = try PlanOutline(of: whole, while: action, on: connection)
        } catch {
            // What has columns and no plan is SHOW, CALL or the like.
            throw error.code == "job.sql" ? error.advised(Self.queryAdvice) : error
        }
        guard !outline.writes else {
            let message = "\(action): the statement writes"
            throw WalrelayError("job.sql", exit: .settings, message, hint: Self.queryAdvice)
        }
        guard !columns.isEmpty else {
            let message = "\(action): the statement returns no columns"
            throw WalrelayError("job.sql", exit: .settings, message, hint: Self.queryAdvice)
        }
        (self.label, statement, isRowByRow) = (label, whole, false)
        (estimatedRows, estimatedCost) = (outline.rows, outline.cost)
    }

    private static let queryAdvice =
        "querySql takes one SELECT, VALUES, TABLE or WITH that only reads"

    private static func columns(
        of statement: ComposedStatement,
        _ action: String,
        on connection: borrowing Connection
    ) throws(WalrelayError) -> [ResultColumn] {
        do throws(PostgresError) {
            return try connection.describe(statement.text)
        } catch {
            throw ReaderFault.error(error, while: action, in: statement)
        }
    }
}

extension WalrelayError {
    /// The same with something else to try next.
    fileprivate func advised(_ hint: String) -> WalrelayError {
        var error = self
        error.hint = hint
        return error
    }
}
