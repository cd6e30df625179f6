// SPDX-License-Identifier: Apache-2.0
//
// The name of a task's slot, and its end. A slot in use is never dropped: the server itself
// refuses, also when the slot came into use only now.

public import ChangeModel
public import LibPQ

/// The replication slot of a task.
public enum Slot {
    /// The slot's name: `di_slot_<task>`.
    public static func name(task: String) -> String { "di_slot_\(task)" }

    /// The task that a slot of this name serves; `nil` for a slot that is not walrelay's.
    public static func task(ofSlot name: String) -> String? {
        let prefix = "di_slot_"
        guard name.hasPrefix(prefix), name != prefix else { return nil }
        return String(name.dropFirst(prefix.count))
    }

    /// Drops a slot that nobody uses; false where there was none.
    ///
    /// Throws `slot.active`, exit 77, where it is in use. Blocks.
    @discardableResult
    public static func drop(
        _ slot: String,
        on connection: borrowing Connection
    ) throws(WalrelayError) -> Bool {
        do {
            try connection.query(
                "SELECT pg_catalog.pg_drop_replication_slot(\(SQL.literal(slot)))"
            )
            return true
        } catch {
            switch error.sqlState {
            case "42704": return false
            case "55006": throw active(slot, pid: nil)
            case "55000": throw synced(slot, error)
            default: throw WalrelayError(error, while: "dropping the replication slot \(slot)")
            }
        }
    }

    /// What to do where the changes that a sink lacks are gone.
    public static let afresh =
        "walrelay run --config FILE --resnapshot, which takes a new snapshot; what becomes of the "
        + "sink's data: docs/operations.md, \"Begin anew\""

    /// The refusal to drop a standby's copy of a slot, in the server's words where it was asked.
    public static func synced(_ slot: String, _ error: PostgresError? = nil) -> WalrelayError {
        WalrelayError(
            "slot.synced",
            exit: .prerequisite,
            "The slot \(slot) cannot be dropped here: "
                + (error?.message ?? "this standby keeps it as a copy of the primary's"),
            hint: "drop it on the primary; the copy goes with it"
        )
    }

    /// The refusal to drop a slot that somebody uses.
    public static func active(_ slot: String, pid: Int?) -> WalrelayError {
        WalrelayError(
            "slot.active",
            exit: .prerequisite,
            "The slot \(slot) is in use\(pid.map { " by the server's process \($0)" } ?? ""), "
                + "so its task is running; a slot in use is never dropped",
            hint: "stop the task first: systemctl stop "
                + "walrelay@\(task(ofSlot: slot) ?? "TASK")"
        )
    }
}
