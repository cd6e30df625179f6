// SPDX-License-Identifier: Apache-2.0
//
// One slot as `slots` shows it: what the server says of it, which task it serves, and whether that
// task's publication is there. The JSON of `slots list --json` has these keys; what is not known,
// or what the server's version does not tell, is null. Keys are added, never renamed.

import ChangeModel
import LibPQ
import Replication

/// A slot for a report.
struct SlotRow: Sendable, Equatable {
    var slot: String
    /// The task, where the slot is named `di_slot_<task>`.
    var task: String?
    var database: String?
    var plugin: String?
    var active = false
    var activePID: Int?
    /// WAL that the server keeps for it; nil where it is lost, and on a standby.
    var retainedBytes: Int64?
    /// From 13 on.
    var walStatus: String?
    /// WAL that may still be written before it is lost; from 13 on, nil without a limit.
    var safeWALBytes: Int64?
    /// From 17 on.
    var invalidationReason: String?
    /// UTC, from 17 on.
    var inactiveSince: String?
    /// From 17 on.
    var inactiveSeconds: Int64?
    var restartLSN: String?
    var confirmedFlushLSN: String?
    /// Whether standbys are to keep a copy of it; from 17 on.
    var failover: Bool?
    /// Whether it is a standby's copy, which only its primary can drop; from 17 on.
    var synced: Bool?
    /// The task's publication; nil where there is none, and where it would be in another database.
    var publication: String?
    /// Who runs the task, whether the slot is in use or not: not while tables are copied.
    var holder: TaskHolder?
    /// Whether the slot belongs to the database that was asked, so that a publication would show.
    var isOfThisDatabase = true

    /// Whether the server has removed WAL that the slot needs.
    var isLost: Bool { walStatus == "lost" || invalidationReason != nil }
}

extension SlotRow {
    /// All logical slots of the server: what holds back most comes first, then by name.
    ///
    /// Those of which nothing is known, lost ones among them, come last. Blocks.
    static func all(on connection: borrowing Connection) throws(PostgresError) -> [SlotRow] {
        let slots = try SlotState.all(on: connection)
        let published = try Publication.tasks(on: connection)
        let holders = try TaskHolders(on: connection)
        let database = try connection.query("SELECT pg_catalog.current_database()").text(0, 0)
        let knowsCopies = connection.serverVersion >= 170_000
        return slots.filter { $0.type == "logical" }.map { state in
            var row = SlotRow(
                state,
                published: published,
                database: database,
                knowsCopies: knowsCopies
            )
            if let task = row.task, let home = row.database {
                row.holder = holders.holder(of: task, in: home)
            }
            return row
        }.sorted { left, right in
            let (leftBytes, rightBytes) = (left.retainedBytes ?? -1, right.retainedBytes ?? -1)
            return leftBytes == rightBytes ? left.slot < right.slot : leftBytes > rightBytes
        }
    }

    private init(
        _ state: SlotState,
        published: Set<String>,
        database: String,
        knowsCopies: Bool
    ) {
        slot = state.name
        task = Slot.task(ofSlot: state.name)
        self.database = state.database
        plugin = state.plugin
        active = state.isActive
        activePID = state.activePID
        retainedBytes = state.isLost ? nil : state.retainedBytes
        walStatus = state.walStatus
        safeWALBytes = state.safeWALSize
        invalidationReason = state.invalidationReason
        inactiveSince = state.inactiveSince
        inactiveSeconds = state.isActive ? nil : state.inactiveSeconds
        restartLSN = state.restartLSN?.description
        confirmedFlushLSN = state.confirmedFlushLSN?.description
        failover = knowsCopies ? state.isFailover : nil
        synced = knowsCopies ? state.isSynced : nil
        isOfThisDatabase = state.database == database
        publication = task.flatMap {
            isOfThisDatabase && published.contains($0) ? Publication.name(task: $0) : nil
        }
    }
}

extension SlotRow: Encodable {
    private enum CodingKeys: String, CodingKey {
        case slot, task, database, plugin, active, activePID, retainedBytes, walStatus
        case safeWALBytes, invalidationReason, inactiveSince, inactiveSeconds, restartLSN
        case confirmedFlushLSN, failover, synced, publication
    }

    /// Encodes every key, unknown values as null.
    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(slot, forKey: .slot)
        try container.encode(task, forKey: .task)
        try container.encode(database, forKey: .database)
        try container.encode(plugin, forKey: .plugin)
        try container.encode(active, forKey: .active)
        try container.encode(activePID, forKey: .activePID)
        try container.encode(retainedBytes, forKey: .retainedBytes)
        try container.encode(walStatus, forKey: .walStatus)
        try container.encode(safeWALBytes, forKey: .safeWALBytes)
        try container.encode(invalidationReason, forKey: .invalidationReason)
        try container.encode(inactiveSince, forKey: .inactiveSince)
        try container.encode(inactiveSeconds, forKey: .inactiveSeconds)
        try container.encode(restartLSN, forKey: .restartLSN)
        try container.encode(confirmedFlushLSN, forKey: .confirmedFlushLSN)
        try container.encode(failover, forKey: .failover)
        try container.encode(synced, forKey: .synced)
        try container.encode(publication, forKey: .publication)
    }
}
