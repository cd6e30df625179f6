// SPDX-License-Identifier: Apache-2.0
//
// When a running snapshot is committed, and that the moment is waited for no longer than it is worth.

import ChangeModel
import Testing

@testable import Pipeline

@Suite struct CopiedSoFarTests {
    private func begun() -> Checkpoint {
        Checkpoint(
            task: "t",
            systemIdentifier: "1",
            database: "d",
            slot: "s",
            position: LSN(100),
            snapshot: .running,
            snapshotLSN: LSN(100),
            relations: []
        )
    }

    private func batch(of oid: UInt32, _ progress: TableCopy.Progress?) -> ChangeBatch {
        var batch = ChangeBatch()
        let relation = Relation(
            oid: oid,
            schema: "public",
            name: "t",
            replicaIdentity: .default,
            columns: []
        )
        batch.relations = [RelationVersion(relation: relation, types: [], version: 1)]
        batch.copied = progress.map {
            TableCopy(oid: oid, point: LSN(100), progress: $0, rows: 5, bytes: 9)
        }
        return batch
    }

    private func part(_ lower: Int64?, _ upper: Int64?) -> TableCopy.Progress {
        .keys(column: "id", KeyRanges([KeyRange(lower, upper)]))
    }

    @Test func `rows of a range count at once, and are committed once a second`() {
        var soFar = CopiedSoFar(begun(), isCommitted: true)
        let start = ContinuousClock.now
        soFar.note(batch(of: 1, part(nil, 5)))
        #expect(!soFar.isDue(at: start))
        #expect(soFar.isDue(at: start + .milliseconds(1_100)))
        soFar.note(batch(of: 1, part(5, 9)))
        #expect(soFar.checkpoint.copy(of: 1).progress == part(nil, 9))
        #expect(soFar.checkpoint.copy(of: 1).rows == 10)
        let commit = start + .seconds(2)
        soFar.committed(at: commit + .milliseconds(300), begun: commit)
        #expect(!soFar.isDue(at: commit + .seconds(9)), "nothing is new")
        soFar.note(batch(of: 1, part(9, nil)))
        #expect(!soFar.isDue(at: commit + .seconds(3)), "a commit that takes long comes seldom")
        #expect(soFar.isDue(at: commit + .milliseconds(3_400)))
        #expect(soFar.checkpoint.copy(of: 1).progress == .whole)
    }

    @Test func `rows that count only with their table hold the commit up`() {
        var soFar = CopiedSoFar(begun(), isCommitted: true)
        let start = ContinuousClock.now
        soFar.note(batch(of: 1, part(nil, 5)))
        soFar.note(batch(of: 2, nil))
        #expect(!soFar.isDue(at: start + .seconds(2)))
        #expect(soFar.pace.isHeld, "no other table is begun meanwhile")
        soFar.note(batch(of: 2, .whole))
        #expect(soFar.isDue(at: start + .milliseconds(2_100)))
        soFar.committed(at: start + .milliseconds(2_110), begun: start + .milliseconds(2_100))
        #expect(!soFar.pace.isHeld)
        #expect(soFar.checkpoint.copy(of: 2).progress == .whole)
    }

    @Test func `the workers are held for a tenth of the time at most`() {
        var soFar = CopiedSoFar(begun(), isCommitted: true)
        let start = ContinuousClock.now
        soFar.note(batch(of: 2, nil))
        var held = 0
        for tick in 1...100_000 {
            _ = soFar.isDue(at: start + .milliseconds(10 * tick))
            if soFar.pace.isHeld { held += 1 }
        }
        #expect(held > 1_000 && held < 12_000)
    }

    @Test func `where nothing can be gone on with nothing is committed and nobody is held`() {
        var soFar = CopiedSoFar(begun(), isCommitted: false)
        soFar.note(batch(of: 1, part(nil, 5)))
        soFar.note(batch(of: 2, nil))
        #expect(!soFar.isDue(at: .now + .seconds(100)) && !soFar.pace.isHeld)
    }
}
