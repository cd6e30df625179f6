// SPDX-License-Identifier: Apache-2.0
//
// A source and a target, with a connection of the product to each.

import ChangeModel
import LibPQ
import Replication
import Support
import Testing

@testable import PostgresSink

/// Two versions that a test is run with; those that are not here are left out.
struct TablePair: Sendable, CustomTestStringConvertible {
    let source: PostgresVersion
    let target: PostgresVersion

    var testDescription: String { "\(source.rawValue) to \(target.rawValue)" }

    static let all = available([(.v15, .v15), (.v18, .v15), (.v14, .v17), (.v15, .v11)])

    /// With the oldest source too, which publishes no partitioned tables.
    static let withOldest = all + available([(.v11, .v18)])

    private static func available(_ pairs: [(PostgresVersion, PostgresVersion)]) -> [TablePair] {
        pairs.filter { $0.0.isAvailable && $0.1.isAvailable }
            .map { TablePair(source: $0.0, target: $0.1) }
    }
}

/// A source and a target.
struct TableServers: Sendable {
    let source: PostgresCluster
    let target: PostgresCluster

    static func start(
        _ pair: TablePair = TablePair(source: .v15, target: .v15)
    ) async throws -> TableServers {
        TableServers(
            source: try await .start(version: pair.source),
            target: try await .start(version: pair.target)
        )
    }

    /// Runs `body` with a connection to each, on a thread of its own.
    func connected<Value: Sendable>(
        as user: String = "postgres",
        _ body: @escaping @Sendable (borrowing Connection, borrowing Connection) throws -> Value
    ) async throws -> Value {
        try await onThread { [self] in
            let atSource = try Connection.open(source.tableParameters(user: "postgres"))
            let atTarget = try Connection.open(target.tableParameters(user: user))
            return try body(atSource, atTarget)
        }
    }

    /// Makes the tables of a selection with their keys, and returns the notices.
    func make(
        _ selection: TableSelection = .publicTables,
        schema: PostgresSinkOptions.Schema = .same
    ) async throws -> [String] {
        try await connected { source, target in
            let maker = try TableMaker(selection, schema: schema, on: source)
            try target.query("BEGIN")
            let made = try maker.make(on: target)
            for statement in try maker.keyStatements(for: made.tables, on: target) {
                try target.query(statement.sql)
            }
            try target.query("COMMIT")
            return made.notices
        }
    }

    /// Copies the rows of a table, the columns in the source's order, without generated ones.
    func copyRows(of name: TableName, to other: TableName? = nil) throws {
        let columns = try source.psql(
            """
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = \(SQL.literal(SQL.identifier(name.schema, name.name)))::regclass AND attnum > 0
            AND NOT attisdropped \(source.version >= .v13 ? "AND attgenerated = ''" : "")
            """
        )
        let rows = try source.psql(
            "COPY (SELECT \(columns) FROM \(name.sql)) TO STDOUT"
        )
        let target = other ?? name
        let end = rows.isEmpty || rows.hasSuffix("\n") ? "" : "\n"
        try self.target.psql("COPY \(target.sql) (\(columns)) FROM STDIN;\n\(rows)\(end)\\.\n")
    }
}

extension PostgresCluster {
    func tableParameters(user: String) -> ConnectionParameters {
        ConnectionParameters(
            keywords: ["host": host, "port": "\(port)", "dbname": "postgres", "user": user]
        )
    }
}

extension TableSelection {
    /// Every table in the schema public.
    static let publicTables = TableSelection(include: [.all(in: "public")])
}

extension TableRule {
    static func all(in schema: String) -> TableRule {
        TableRule(pattern: TablePattern(schema: .exact(schema), name: .glob("*")))
    }

    static func one(_ schema: String, _ name: String, to target: TableName? = nil) -> TableRule {
        TableRule(
            pattern: TablePattern(schema: .exact(schema), name: .exact(name)),
            target: target
        )
    }
}

extension TableMaker {
    init(
        _ selection: TableSelection,
        schema: PostgresSinkOptions.Schema = .same,
        on source: borrowing Connection
    ) throws {
        let tables = try SourceCatalog.tables(selection, on: source)
        self.init(
            source: try SourceDefinition.read(relations: tables.map(\.relation), on: source),
            naming: TableNaming(schema: schema, selection: selection)
        )
    }
}

extension TableInspection {
    init(
        _ selection: TableSelection = .publicTables,
        schema: PostgresSinkOptions.Schema = .same,
        on source: borrowing Connection
    ) throws {
        let relations = try SourceCatalog.tables(selection, on: source).map(\.relation)
        self.init(
            source: try SourceDefinition.read(relations: relations, on: source),
            relations: relations,
            naming: TableNaming(schema: schema, selection: selection)
        )
    }
}

extension RelationVersion {
    convenience init(_ relation: Relation) {
        self.init(
            relation: relation,
            types: relation.columns.map { _ in .text },
            version: UInt64(relation.oid)
        )
    }
}
