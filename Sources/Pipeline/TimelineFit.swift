// SPDX-License-Identifier: Apache-2.0
//
// Whether the server has all that the checkpoint has. After a failover the positions of two servers
// are alike and their content is not: a former primary that still runs knows nothing of what the
// new one has written, and a standby that was promoted may lack the last of what the former one
// had. Each case would be a silent gap, or changes that never were.

import ChangeModel
import LibPQ
import Replication
import Sink

extension CheckpointFit {
    /// Whether the checkpoint lies in the server's own past; throws the mismatch, exit 74.
    ///
    /// `reach` is up to where the sink has changes, the checkpoint's position unless it is given.
    /// `history` is asked only where the timelines differ.
    static func verifyTimeline(
        of checkpoint: Checkpoint,
        reach: LSN? = nil,
        facts: ServerFacts,
        history: () throws -> TimelineHistory
    ) throws {
        guard let former = checkpoint.timeline, former != facts.timeline, !facts.isStandby,
            checkpoint.goesOn
        else { return }
        guard former < facts.timeline else {
            throw WalrelayError(
                "server.passed_over",
                exit: .checkpointMismatch,
                "The server is on timeline \(facts.timeline), the sink's checkpoint was written on "
                    + "timeline \(former): another server has been promoted since, and this one "
                    + "is not the primary any more",
                hint: "stop the former primary, or make it a standby of the new one; "
                    + "set source.host to the new one, or to all hosts, separated by commas",
                isTransient: true
            )
        }
        let reach = reach ?? checkpoint.position
        let end = try history().end(of: former)
        if let end, reach <= end { return }
        let lacks =
            end.map {
                "which was promoted at \($0), before it had all up to there: it lacks what the "
                    + "former primary committed between the two, and the sink has it"
            } ?? "whose timeline \(facts.timeline) does not come from it"
        throw WalrelayError(
            "checkpoint.diverged",
            exit: .checkpointMismatch,
            "The sink has changes up to \(reach) of timeline \(former); this server is one \(lacks)",
            hint: Slot.afresh
        )
    }
}

extension TaskRunner {
    /// The same, with the server's own history; blocks.
    func verifyTimeline(
        of checkpoint: Checkpoint,
        in sink: any Sink,
        facts: ServerFacts
    ) throws {
        let reach = sink.reach(of: checkpoint)
        try CheckpointFit.verifyTimeline(of: checkpoint, reach: reach, facts: facts) {
            do throws(PostgresError) {
                let connection = try Connection.open(
                    options.source.for(.control).replication,
                    stop: stop
                )
                return try TimelineHistory(of: facts.timeline, on: connection)
            } catch {
                throw WalrelayError(
                    error,
                    while: "reading the history of the source's timeline \(facts.timeline)"
                )
            }
        }
    }

    /// The checkpoint with the timeline that its server is on now, which it was held against.
    ///
    /// Made durable before anything of that timeline is: a part of a transaction that the sink
    /// comes to have is of this timeline then.
    func onTimeline(
        of facts: ServerFacts,
        _ checkpoint: Checkpoint,
        in sink: any Sink,
        run: inout RunState
    ) throws -> Checkpoint {
        guard checkpoint.timeline != facts.timeline, facts.timeline > 0, sink.keepsCheckpoint
        else { return checkpoint }
        var now = checkpoint
        now.timeline = facts.timeline
        try commit(now, to: sink)
        run.checkpoint = now
        return now
    }
}

extension Sink {
    /// Up to where the sink has changes: to the checkpoint, or into a transaction behind it of
    /// which it has a part.
    func reach(of checkpoint: Checkpoint) -> LSN {
        guard let part = partCommit, part >= checkpoint.position else { return checkpoint.position }
        // The commit's own record has to be there.
        return LSN(part.rawValue &+ 1)
    }
}
