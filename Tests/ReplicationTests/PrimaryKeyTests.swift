// SPDX-License-Identifier: Apache-2.0
//
// The primary key comes from the catalog, and the stream, which does not know it, leaves it.

import ChangeModel
import LibPQ
import Replication
import Support
import Testing

@Suite struct PrimaryKeyTests {
    @Test func `the catalog gives the whole key, and renews it by the table's OID`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(
            """
            CREATE TABLE a (v text, x int, y int, PRIMARY KEY (y, x));
            ALTER TABLE a REPLICA IDENTITY FULL;
            CREATE TABLE b (id int); CREATE TABLE c (id int PRIMARY KEY DEFERRABLE);
            """
        )
        try await cluster.withConnection { connection in
            let tables = try SourceCatalog.tables(TableSelection("public.*"), on: connection)
            let known = tables.map(\.relation)
            #expect(known.map(\.primaryKey) == [["y", "x"], [], ["id"]])
            #expect(known.map(\.eventKey) == [[1, 2], [], [0]])
            let same = try SourceCatalog.renewingPrimaryKeys(of: known, on: connection)
            #expect(same == known)
            try cluster.psql(
                """
                ALTER TABLE a RENAME TO z; ALTER TABLE z DROP CONSTRAINT a_pkey;
                ALTER TABLE b ADD PRIMARY KEY (id); DROP TABLE c;
                """
            )
            let now = try SourceCatalog.renewingPrimaryKeys(of: known, on: connection)
            #expect(now.map(\.primaryKey) == [[], ["id"], ["id"]])
            #expect(now.map(\.name) == ["a", "b", "c"], "names and columns are the stream's")
        }
    }

    @Test func `a relation of the stream keeps the key that was known, and that is no change`()
        throws
    {
        var known = relation(1, "a")
        known.primaryKey = ["v"]
        known.replicaIdentity = .full
        known.columns[1].isKey = true
        var described = known
        described.primaryKey = []
        var assembler = BatchAssembler([known])
        try assembler.feed(
            Messages.begin(commit: 200),
            Messages.relation(described),
            Messages.insert(1, [.text("1"), .text("2")]),
            Messages.commit(200, end: 210)
        )
        let batch = assembler.take()
        #expect(batch.relations.map(\.relation) == [known])
        #expect(batch.relations[0].relation.eventKey == [1])
        #expect(batch.checkpoint?.relations == [known])
        described.columns.append(Column(name: "w", typeOID: 25, isKey: true))
        try assembler.feed(
            Messages.begin(commit: 300),
            Messages.relation(described),
            Messages.commit(300, end: 310)
        )
        described.primaryKey = ["v"]
        #expect(assembler.take().checkpoint?.relations == [described])
    }
}
