// SPDX-License-Identifier: Apache-2.0

public import ChangeModel
public import LibPQ

/// What a postgresql sink is made with.
public struct PostgresSinkOptions: Sendable {
    /// The schema that tables are written to.
    public enum Schema: Sendable, Equatable {
        /// Each table's own.
        case same
        /// One for all, unquoted.
        case named(String)
    }

    /// What a snapshot does with a table that holds rows already.
    public enum NotEmpty: Sendable {
        /// Refuse before anything is made.
        case refuse
        /// Empty it first.
        case truncate
        /// Insert rows, or overwrite those with the same key.
        case merge
    }

    /// What is done with a row that the target refuses.
    public enum RowError: Sendable {
        /// Stop before its transaction.
        case stop
        /// Put it into walrelay.dead_letter and go on.
        case deadLetter
    }

    /// The task's name.
    public var task: String
    /// walrelay's version, for the events of dead letters.
    public var version: String
    /// The source's database, for the events of dead letters.
    public var database: String
    /// How the source is reached: it is asked what the tables look like.
    public var source: ConnectionParameters
    /// How the target is reached.
    public var target: ConnectionParameters
    /// The tables that are taken, with the names that the target has for them.
    public var selection: TableSelection
    /// The schema that tables are written to where a table has no target of its own.
    public var schema = Schema.same
    /// Whether missing tables are made.
    public var createTables = true
    /// Whether indexes and constraints besides the key are made after the snapshot.
    public var copiesIndexes = false
    /// What a snapshot does with a table that holds rows already.
    public var ifNotEmpty = NotEmpty.refuse
    /// What is done with a row that the target refuses.
    public var onRowError = RowError.stop
    /// How values are spelled in the events of dead letters.
    public var format = ValueFormat()
    /// Whether the task begins with a snapshot.
    public var takesSnapshot = true

    /// Creates options with the defaults of the settings.
    public init(
        task: String,
        version: String,
        database: String,
        source: ConnectionParameters,
        target: ConnectionParameters,
        selection: TableSelection
    ) {
        self.task = task
        self.version = version
        self.database = database
        self.source = source
        self.target = target
        self.selection = selection
    }
}
