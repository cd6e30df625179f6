// SPDX-License-Identifier: Apache-2.0
//
// Where a task goes on. It lives in the sink, made durable together with the data, and nowhere
// else (rule 1). What it says about the source is what tells a slot that was made anew, another
// cluster or a changed table from the one that was left.

/// The state of a task as its sink keeps it.
public struct Checkpoint: Sendable, Equatable, Codable {
    /// How far the initial snapshot is.
    public enum SnapshotState: String, Sendable, Codable {
        /// Begun. What the sink holds of it is thrown away on the next start, unless rows of it
        /// were seen: then the task goes on from here and takes a snapshot anew.
        case running
        /// Whole in the sink, or never asked for.
        case complete
    }

    /// The task's name from the settings.
    public var task: String
    /// `pg_control_system().system_identifier` of the source, in decimal.
    public var systemIdentifier: String
    /// The database that the slot belongs to.
    public var database: String
    /// The name of the slot.
    public var slot: String
    /// Every transaction whose commit lies before this position is in the sink, whole; none after.
    ///
    /// Zero while a snapshot is running that nothing can be brought to.
    public var position: LSN
    /// How far the snapshot is.
    public var snapshot: SnapshotState
    /// The slot's consistent point at which the snapshot was taken.
    ///
    /// `nil` where none was asked for, and of a running one as long as none of its rows is seen.
    public var snapshotLSN: LSN?
    /// The OID of the publication that has been streamed; `nil` where it was not noted.
    ///
    /// One that was dropped and made again under the same name has another.
    public var publicationOID: UInt32?
    /// The source's timeline when the position was reached; `nil` where it was not noted.
    ///
    /// A promoted standby writes a timeline of its own from where it was.
    public var timeline: UInt32?
    /// The relations as last seen before `position`, in the order of their OIDs.
    public var relations: [Relation]
    /// The types of the relations' columns that are not built in.
    ///
    /// Changes that are still to come may be of a type that the catalog has no more.
    public var types: [TypeEntry]

    /// Creates a checkpoint.
    public init(
        task: String,
        systemIdentifier: String,
        database: String,
        slot: String,
        position: LSN,
        snapshot: SnapshotState,
        snapshotLSN: LSN?,
        relations: [Relation],
        types: [TypeEntry] = [],
        publicationOID: UInt32? = nil,
        timeline: UInt32? = nil
    ) {
        self.task = task
        self.systemIdentifier = systemIdentifier
        self.database = database
        self.slot = slot
        self.position = position
        self.snapshot = snapshot
        self.snapshotLSN = snapshotLSN
        self.relations = relations
        self.types = types
        self.publicationOID = publicationOID
        self.timeline = timeline
    }

    /// Whether the task goes on at `position`, from what the slot has since; otherwise it begins
    /// anew.
    public var goesOn: Bool {
        snapshot == .complete || snapshotLSN != nil && position > .zero
    }
}
