// SPDX-License-Identifier: Apache-2.0
//
// Which table of the target a table of the source is written to. Two tables that would meet in
// one are refused before anything is written.

public import ChangeModel
import LibPQ

extension TableName {
    /// `"schema"."name"`, for statements; also for those that an operator is to run.
    var sql: String { SQL.shown(schema, name) }
}

/// The names of the target's tables.
public struct TableNaming: Sendable, Equatable {
    /// The schema that tables and their types are written to.
    public var schema: PostgresSinkOptions.Schema
    /// Says which tables have a target of their own.
    public var selection: TableSelection

    /// Creates the rule of a sink's settings.
    public init(schema: PostgresSinkOptions.Schema = .same, selection: TableSelection) {
        self.schema = schema
        self.selection = selection
    }

    /// The schema on the target for what has the given one at the source.
    public func schema(for source: String) -> String {
        switch schema {
        case .same: source
        case .named(let name): name
        }
    }

    /// The table on the target for a relation.
    public func target(of relation: Relation) -> TableName {
        selection.rule(schema: relation.schema, name: relation.name)?.target
            ?? TableName(schema: schema(for: relation.schema), name: relation.name)
    }

    /// Refuses names under which rows would be lost: two tables in one, or one of walrelay's own.
    ///
    /// Throws `sink.names_meet` or `sink.name_unfit` with all of them.
    public func check(_ relations: [Relation]) throws(WalrelayError) {
        var sources: [TableName: [String]] = [:]
        for relation in relations {
            sources[target(of: relation), default: []].append(relation.qualifiedName)
        }
        let unfit = sources.keys.sorted().compactMap(Self.fault)
        guard unfit.isEmpty else {
            throw WalrelayError(
                "sink.name_unfit",
                exit: .settings,
                unfit.joined(separator: "; "),
                hint: "give the table another `target` in tables.include, or sink.postgresql.schema"
            )
        }
        let meeting = sources.filter { $0.value.count > 1 }.sorted { $0.key < $1.key }
        guard meeting.isEmpty else {
            let lines = meeting.map {
                "\($0.value.sorted().joined(separator: " and ")) would both be written to \($0.key)"
            }
            throw WalrelayError(
                "sink.names_meet",
                exit: .settings,
                lines.joined(separator: "; "),
                hint: "give one of them a `target` of its own in tables.include"
            )
        }
    }

    private static func fault(_ name: TableName) -> String? {
        if name.schema == CheckpointTable.schema {
            return "\(name) lies in the schema \(name.schema), which holds walrelay's own tables"
        }
        if name.schema.hasPrefix("pg_") || name.schema == "information_schema" {
            return "\(name) lies in a schema of the system"
        }
        // The server cuts a longer name silently: two names may become one.
        let isLong = [name.schema, name.name].contains { $0.utf8.count > 63 || $0.isEmpty }
        return isLong ? "\(name): a name has 1 to 63 bytes" : nil
    }
}
