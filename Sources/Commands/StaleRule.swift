// SPDX-License-Identifier: Apache-2.0
//
// When a slot counts as left behind. A slot is dropped for good and the changes since its position
// with it, so each doubt keeps it:
//
//   not named di_slot_*, in use, or a standby's copy  kept
//   its task is running                               kept
//   --older-than (17+; 24h unless a bound is given)   inactive for less, or nobody knows: kept
//   --retained-more-than (must be given below 17)     holds no more, or nobody knows: kept
//   past every bound that is given             stale

import ChangeModel
import Replication

/// The bounds of `slots drop --stale`.
struct StaleRule: Sendable, Equatable {
    /// What was decided on one slot, and why.
    struct Verdict: Sendable, Equatable {
        var isStale: Bool
        var reason: String
    }

    let olderThan: Duration?
    let retainedMoreThan: Int64?

    /// The bounds as they hold at a server of this version.
    ///
    /// Throws, exit 64, where the server cannot tell what a bound asks for.
    init(
        olderThan: Duration?,
        retainedMoreThan: Int64?,
        serverVersion: Int
    ) throws(WalrelayError) {
        self.retainedMoreThan = retainedMoreThan
        guard serverVersion < 170_000 else {
            self.olderThan = olderThan ?? (retainedMoreThan == nil ? .seconds(86_400) : nil)
            return
        }
        self.olderThan = nil
        let version =
            "PostgreSQL \(serverVersion / 10_000) does not record since when a slot is "
            + "inactive; 17 is the first that does"
        if retainedMoreThan == nil {
            throw WalrelayError(
                "slots.bound_needed",
                exit: .usage,
                version,
                hint: "say how much WAL a stale slot holds back: --stale --retained-more-than 10GiB"
            )
        }
        if let olderThan, olderThan > .zero {
            throw WalrelayError(
                "slots.age_unknown",
                exit: .usage,
                "\(version), so --older-than cannot be judged",
                hint: "leave --older-than out, and look at what --dry-run shows"
            )
        }
    }

    /// Whether a slot is stale.
    func judge(_ row: SlotRow) -> Verdict {
        guard row.task != nil else { return kept("not one of walrelay's, which are di_slot_*") }
        if row.active { return kept("in use\(row.activePID.map { " by pid \($0)" } ?? "")") }
        if let holder = row.holder { return kept("its task is running: \(holder.text)") }
        if row.synced ?? false { return kept("a copy of the primary's: it goes with that one") }
        var past: [String] = []
        if let olderThan {
            guard let seconds = row.inactiveSeconds else {
                return kept("inactive, and the server does not say since when")
            }
            let age = "inactive for \(TerminalText.time(seconds: seconds))"
            let bound = TerminalText.time(seconds: olderThan.components.seconds)
            if Duration.seconds(seconds) < olderThan { return kept("\(age), less than \(bound)") }
            past.append("\(age), at least \(bound)")
        }
        if let retainedMoreThan {
            if row.isLost {
                return kept("lost, so it holds no WAL back; name its task to drop it")
            }
            guard let retained = row.retainedBytes else {
                return kept("the server does not say how much WAL it holds back")
            }
            let amount = "holds back \(TerminalText.bytes(retained))"
            let bound = TerminalText.bytes(retainedMoreThan)
            if retained <= retainedMoreThan { return kept("\(amount), not more than \(bound)") }
            past.append("\(amount), more than \(bound)")
        }
        return Verdict(isStale: true, reason: past.joined(separator: "; "))
    }

    private func kept(_ reason: String) -> Verdict { Verdict(isStale: false, reason: reason) }
}
