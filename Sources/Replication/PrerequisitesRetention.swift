// SPDX-License-Identifier: Apache-2.0
//
// What the server allows a slot to hold back, and for how long it keeps one that nobody uses: the
// two settings that decide what a stopped task costs. SQL does not tell how much room the server's
// disk has, so an absent limit is a warning whatever is free today.

import ChangeModel
import LibPQ

extension CheckedSource {
    func retentionFindings() -> [Finding] {
        [slotWALKeepSize, idleSlotTimeout].compactMap { $0 }
    }

    /// Since 13; in MB, -1 is no limit.
    private var slotWALKeepSize: Finding? {
        let name = "max_slot_wal_keep_size"
        guard let megabytes = settings.number(name) else { return nil }
        let limit = Int64(megabytes) << 20
        let warning = requirements.retainWarning.map { max(1 << 30, $0) } ?? 1 << 30
        if megabytes >= 0, limit >= warning {
            return Finding("server.\(name)", .ok, subject: name, found: Prose.bytes(limit))
        }
        let found =
            if megabytes < 0 {
                "no limit: while the task is stopped its slot can fill the server's disk, and SQL "
                    + "does not tell how much room that has"
            } else if megabytes < 1_024 {
                "\(megabytes) MiB: a short pause of the task loses the slot, and changes with it"
            } else {
                "\(Prose.bytes(limit)): the slot is lost before slot.retainWarning "
                    + "(\(Prose.bytes(warning))) is reached; the task warns at half of the limit"
            }
        // Well above the warning: what lies between is the time that a person has.
        let enough = max(65_536, (warning >> 20) * 4)
        return Finding(
            "server.\(name)",
            .warning,
            subject: name,
            found: found,
            mend: provider.change(
                name,
                to: "\(enough)",
                spoken: "\(enough >> 10)GB",
                needsRestart: false
            )
        )
    }

    /// Since 18; in seconds, 0 is never.
    private var idleSlotTimeout: Finding? {
        let name = "idle_replication_slot_timeout"
        guard let seconds = settings.number(name) else { return nil }
        return seconds == 0
            ? Finding("server.\(name)", .ok, subject: name, found: "0: never")
            : Finding(
                "server.\(name)",
                .warning,
                subject: name,
                found: "\(seconds) s: a task that is stopped for longer loses its slot",
                mend: provider.change(name, to: "0", needsRestart: false)
            )
    }
}
