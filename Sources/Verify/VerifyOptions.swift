// SPDX-License-Identifier: Apache-2.0

public import ChangeModel
public import LibPQ

/// What is compared, and how.
public struct VerifyOptions: Sendable {
    /// The task's name.
    public var task: String
    /// How the source is reached.
    public var source: ConnectionParameters
    /// How the target is reached.
    public var target: ConnectionParameters
    /// Which tables the task takes.
    public var selection: TableSelection
    /// Which of them are compared; empty compares all.
    public var only: [TablePattern] = []
    /// How many connections read each side at the same time.
    public var workers = 4
    /// How long to wait for the target to come to the source's position; nil waits for ever.
    public var waitLimit: Duration? = .seconds(600)
    /// Where a table of the source is on the target.
    public var targetName: @Sendable (Relation) -> TableName = {
        TableName(schema: $0.schema, name: $0.name)
    }
    /// Whether what differs is mended.
    public var repairs = false
    /// How long a repair may hold the task back at once.
    public var holdLimit = Duration.seconds(60)
    /// After so long a repair lets the task go on and begins another round.
    public var holdTarget = Duration.seconds(20)
    /// Called where nobody streams the task's slot: brings the target to at least a position.
    ///
    /// Blocks.
    public var catchUp: @Sendable (LSN) throws -> Void

    /// Options with the defaults of the settings.
    public init(
        task: String,
        source: ConnectionParameters,
        target: ConnectionParameters,
        selection: TableSelection,
        catchUp: @escaping @Sendable (LSN) throws -> Void
    ) {
        self.task = task
        self.source = source
        self.target = target
        self.selection = selection
        self.catchUp = catchUp
    }

    var parameters: [ConnectionParameters] { [source, target] }
}
