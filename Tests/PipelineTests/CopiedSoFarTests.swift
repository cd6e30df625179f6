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
        let due1 = soFar.isDue(at: start)
        #expect(!due1)
        let due2 = soFar.isDue(at: start + .milliseconds(1_100))
        #expect(due2)
        soFar.note(batch(of: 1, part(5, 9)))
        #expect(soFar.checkpoint.copy(of: 1).progress == part(nil, 9))
        #expect(soFar.checkpoint.copy(of: 1).rows == 10)
        let commit = start + .seconds(2)
        soFar.committed(at: commit + .milliseconds(300), begun: commit)
        let due3 = soFar.isDue(at: commit + .seconds(9))
        #expect(!due3, "nothing is new")
        soFar.note(batch(of: 1, part(9, nil)))
        let due4 = soFar.isDue(at: commit + .seconds(3))
        #expect(!due4, "a commit that takes long comes seldom")
        let due5 = soFar.isDue(at: commit + .milliseconds(3_400))
        #expect(due5)
        #expect(soFar.checkpoint.copy(of: 1).progress == .whole)
    }

    @Test func `rows that count only with their table hold the commit up`() {
        var soFar = CopiedSoFar(begun(), isCommitted: true)
        let start = ContinuousClock.now
        soFar.note(batch(of: 1, part(nil, 5)))
        soFar.note(batch(of: 2, nil))
        let due6 = soFar.isDue(at: start + .seconds(2))
        #expect(!due6)
        #expect(soFar.hold.isHeld, "no other table is begun meanwhile")
        soFar.note(batch(of: 2, .whole))
        let due7 = soFar.isDue(at: start + .milliseconds(2_100))
        #expect(due7)
        soFar.committed(at: start + .milliseconds(2_110), begun: start + .milliseconds(2_100))
        #expect(!soFar.hold.isHeld)
        #expect(soFar.checkpoint.copy(of: 2).progress == .whole)
    }

    @Test func `the workers are held for a tenth of the time at most`() {
        var soFar = CopiedSoFar(begun(), isCommitted: true)
        let start = ContinuousClock.now
        soFar.note(batch(of: 2, nil))
        var held = 0
        for tick in 1...100_000 {
            _ = soFar.isDue(at: start + .milliseconds(10 * tick))
            if soFar.hold.isHeld { held += 1 }
        }
        #expect(held > 1_000 && held < 12_000)
    }

    @Test func `where nothing can be gone on with nothing is committed and nobody is held`() {
        var soFar = CopiedSoFar(begun(), isCommitted: false)
        soFar.note(batch(of: 1, part(nil, 5)))
        soFar.note(batch(of: 2, nil))
        let due8 = soFar.isDue(at: .now + .seconds(100))
        #expect(!due8 && !soFar.hold.isHeld)
    }
}
