// SPDX-License-Identifier: Apache-2.0
//
// Which descriptions of a relation are versions of their own: sinks prepare something for each.

import ChangeModel
import Replication
import Testing

@Suite struct RelationVersionTests {
    @Test func `a description that is repeated is the same version, a changed one another`()
        throws
    {
        let a = relation(1, "a")
        var assembler = BatchAssembler([a])
        let wider = relation(1, "a", ["v", "w"])
        try assembler.feed(Messages.begin(commit: 200))
        var versions: [UInt64] = []
        for described in [a, a, wider, wider] {
            let row = [Value](repeating: .null, count: described.columns.count - 1)
            try assembler.feed(
                Messages.relation(described),
                Messages.insert(1, [.text("1")] + row)
            )
            let place = Int(assembler.batch.changes[assembler.batch.changes.count - 1].relation)
            versions.append(assembler.batch.relations[place].version)
        }
        #expect(versions[0] == versions[1] && versions[2] == versions[3])
        #expect(versions[1] != versions[2])
        #expect(assembler.batch.relations.count == 2)
    }
}
