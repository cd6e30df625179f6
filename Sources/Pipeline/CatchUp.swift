// SPDX-License-Identifier: Apache-2.0
//
// An interrupted snapshot whose rows were seen. They are not taken back, and those that were
// deleted since would stay for ever, were it not for the stream between the two snapshots:
//
//   rows at A (some) ─▶ changes committed in [A, B) ─▶ rows at B (all) ─▶ changes from B on
//                       the permanent slot              a temporary slot's point
//
// Each of these has the checkpoint `running` but the last. It may be interrupted again anywhere:
// A is then wherever the checkpoint has come to.

import ChangeModel
import LibPQ
import Logging
import Replication
import Sink

extension TaskRunner {
    /// Brings to the sink what was committed before `end` and nothing else; the snapshot stays
    /// `running`.
    ///
    /// Blocks; throws `CancellationError` on a stop.
    func catchUp(
        to end: LSN,
        sink: any Sink,
        run: inout RunState,
        facts: ServerFacts,
        control: borrowing Connection,
        retry: inout RetryPolicy
    ) throws {
        while let seen = run.checkpoint, seen.position < end {
            log.notice(
                "bringing an interrupted snapshot up to date",
                metadata: ["from": "\(seen.position)", "to": "\(end)"]
            )
            _ = try stream(
                sink: sink,
                from: seen,
                until: end,
                run: &run,
                facts: facts,
                control: control,
                retry: &retry
            )
            if stop.isRequested { throw CancellationError() }
        }
    }

    /// Holds the tables as the snapshot shows them against those that the stream has come to.
    ///
    /// A table that was changed or dropped with no change of a row after it is in no message.
    func verify(
        _ current: [SourceTable],
        against seen: Checkpoint,
        at taken: borrowing SlotSnapshot
    ) throws {
        guard let former = seen.snapshotLSN else { return }
        let lsn = taken.consistentPoint
        let baseline = try CatalogWatch(
            known: seen.relations,
            selection: options.tables,
            on: taken.connection
        ).baseline
        if let refusal = baseline.refusal(at: lsn) { throw refusal }
        for now in current.map(\.relation) {
            guard var known = baseline.relations.first(where: { $0.oid == now.oid }) else {
                continue
            }
            // Of names the baseline has judged.
            (known.schema, known.name) = (now.schema, now.name)
            let change = SchemaGuard.compare(known, now) { nameType(of: $0, stop: stop) }
            guard case .unsupported(let faults) = change else { continue }
            guard options.policy.acceptedDDL.contains(former) else {
                throw StreamRefusal.ofDDL(
                    now,
                    formerly: known,
                    faults,
                    interruptedAt: former,
                    seenAt: lsn
                )
            }
            log.notice(
                "\(now.qualifiedName) at \(lsn), as accepted: \(faults.joined(separator: "; "))"
            )
        }
    }
}
