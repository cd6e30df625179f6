// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Testing

@Suite struct RelationTests {
    /// Columns a, b, c; those that are named belong to the identity.
    private func relation(
        _ identity: ReplicaIdentity,
        keys: String = "",
        primary: [String] = []
    ) -> Relation {
        Relation(
            oid: 1,
            schema: "public",
            name: "t",
            replicaIdentity: identity,
            columns: ["a", "b", "c"].map { name in
                Column(name: name, typeOID: 23, isKey: keys.contains(name))
            },
            primaryKey: primary
        )
    }

    @Test func `the event key is the identity's, or else the whole primary key's`() {
        let cases: [(Relation, [Int])] = [
            (relation(.default, keys: "ca", primary: ["c", "a"]), [0, 2]),
            (relation(.default, keys: "ac"), [0, 2]),
            // A delete brings the index's columns and not the primary key's.
            (relation(.index, keys: "b", primary: ["a"]), [1]),
            (relation(.full, keys: "abc", primary: ["c", "b"]), [1, 2]),
            (relation(.full, keys: "abc"), []),
            (relation(.nothing, primary: ["a"]), [0]),
            (relation(.nothing), []),
            (relation(.default), []),
            // A deferrable primary key, or an index that was dropped, is no identity.
            (relation(.default, primary: ["a"]), [0]),
            (relation(.index, primary: ["a"]), [0]),
            // A part of a key tells no rows apart.
            (relation(.full, keys: "abc", primary: ["a", "z"]), []),
        ]
        for (index, (relation, expected)) in cases.enumerated() {
            #expect(relation.eventKey == expected, "case \(index)")
        }
    }

    @Test func `a relation is read as it was written, and one without a primary key has none`()
        throws
    {
        let keyed = relation(.full, keys: "abc", primary: ["c", "b"])
        let bytes = try JSONEncoder().encode(keyed)
        #expect(try JSONDecoder().decode(Relation.self, from: bytes) == keyed)
        let former = """
            {"oid": 7, "schema": "s", "name": "n", "replicaIdentity": 100, "columns":
            [{"name": "a", "typeOID": 23, "typeModifier": -1, "isKey": true}]}
            """
        let read = try JSONDecoder().decode(Relation.self, from: Data(former.utf8))
        #expect(read.primaryKey.isEmpty && read.eventKey == [0] && read.oid == 7)
    }
}
