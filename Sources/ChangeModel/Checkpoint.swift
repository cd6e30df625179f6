// SPDX-License-Identifier: Apache-2.0
//
// Where a task goes on. It lives in the sink, made durable together with the data, and nowhere
// else (rule 1). What it says about the source is what tells a slot that was made anew, another
// cluster or a changed table from the one that was left.

/// The state of a task as its sink keeps it.
public struct Checkpoint: Sendable, Equatable, Codable {
    /// How far the initial snapshot is.
    public enum SnapshotState: String, Sendable, Codable {
        /// Begun. `copies` says what of it counts; a start goes on from there with the rest.
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
    /// The slot's consistent point at which the snapshot was taken, or last gone on with.
    ///
    /// `nil` where none was asked for, and of a running one as long as none of its rows counts.
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
    /// How far the copying is of tables that are not simply whole; see `copy(of:)`.
    public var copies: [TableCopy]

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
        timeline: UInt32? = nil,
        copies: [TableCopy] = []
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
        self.copies = copies
    }

    /// What is copied of a table of `relations`.
    ///
    /// Without an entry a table is whole once the snapshot is complete, and nothing of it counts
    /// before that.
    public func copy(of oid: UInt32) -> TableCopy {
        copies.first { $0.oid == oid }
            ?? TableCopy(
                oid: oid,
                point: snapshotLSN ?? .zero,
                progress: snapshot == .complete ? .whole : .nothing
            )
    }

    /// Puts what is known of a table in the place of what was known before.
    public mutating func set(_ copy: TableCopy) {
        if let index = copies.firstIndex(where: { $0.oid == copy.oid }) {
            copies[index] = copy
        } else {
            copies.append(copy)
        }
    }

    /// Whether something is copied of any table.
    public var hasCopied: Bool {
        snapshot == .complete || copies.contains { $0.progress != .nothing }
    }

    /// Whether the task goes on at `position`, from what the slot has since; otherwise it begins
    /// anew.
    public var goesOn: Bool {
        snapshot == .complete || snapshotLSN != nil && position > .zero
    }
}

extension Checkpoint {
    /// Decodes a checkpoint; one that an earlier version wrote has no copies.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            task: try values.decode(String.self, forKey: .task),
            systemIdentifier: try values.decode(String.self, forKey: .systemIdentifier),
            database: try values.decode(String.self, forKey: .database),
            slot: try values.decode(String.self, forKey: .slot),
            position: try values.decode(LSN.self, forKey: .position),
            snapshot: try values.decode(SnapshotState.self, forKey: .snapshot),
            snapshotLSN: try values.decodeIfPresent(LSN.self, forKey: .snapshotLSN),
            relations: try values.decode([Relation].self, forKey: .relations),
            types: try values.decode([TypeEntry].self, forKey: .types),
            publicationOID: try values.decodeIfPresent(UInt32.self, forKey: .publicationOID),
            timeline: try values.decodeIfPresent(UInt32.self, forKey: .timeline),
            copies: try values.decodeIfPresent([TableCopy].self, forKey: .copies) ?? []
        )
    }
}
