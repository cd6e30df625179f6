// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct RelationMessageTests {
    let wire = Wire.message("R").int32(16_385).name("sälj").name("Mixed-Case").byte("d").int16(2)
        .byte(1).name("id").int32(20).int32(-1)
        .byte(0).name("price").int32(1_700).int32(655_366)

    @Test func `describes the table and its columns`() throws {
        let expected = Relation(
            oid: 16_385,
            schema: "sälj",
            name: "Mixed-Case",
            replicaIdentity: .default,
            columns: [
                Column(name: "id", typeOID: 20, typeModifier: -1, isKey: true),
                Column(name: "price", typeOID: 1_700, typeModifier: 655_366, isKey: false),
            ]
        )
        #expect(try decode(wire) == .relation(expected))
    }

    @Test func `is refused when cut short or drawn out`() {
        expectEveryLengthMatters(wire)
    }

    @Test(
        arguments: [
            ("d", ReplicaIdentity.default), ("n", .nothing), ("f", .full), ("i", .index),
        ] as [(Character, ReplicaIdentity)]
    )
    func `knows each replica identity`(letter: Character, identity: ReplicaIdentity) throws {
        let wire = Wire.message("R").int32(1).name("s").name("t").byte(letter).int16(0)
        guard case .relation(let relation) = try decode(wire) else {
            Issue.record("not a relation message")
            return
        }
        #expect(relation.replicaIdentity == identity)
        #expect(relation.columns.isEmpty)
    }

    @Test func `takes an empty schema for pg_catalog`() throws {
        let wire = Wire.message("R").int32(1).name("").name("t").byte("d").int16(0)
        guard case .relation(let relation) = try decode(wire) else {
            Issue.record("not a relation message")
            return
        }
        #expect(relation.schema == "pg_catalog")
    }

    @Test func `is refused with another replica identity`() {
        let error = fault(Wire.message("R").int32(1).name("s").name("t").byte("x").int16(0).bytes)
        #expect(error?.expected == "a replica identity of d, n, f or i")
        #expect(error?.found == "'x'")
        #expect(error?.offset == 9)
    }

    @Test(arguments: [1_665, 0xFFFF])
    func `is refused with more columns than PostgreSQL has`(count: Int) {
        let error = fault(
            Wire.message("R").int32(1).name("s").name("t").byte("d").int16(count).bytes
        )
        #expect(error?.expected == "at most 1664 columns")
        #expect(error?.found == "\(count)")
        #expect(error?.offset == 10)
    }

    @Test func `takes as many columns as PostgreSQL has`() throws {
        var wire = Wire.message("R").int32(1).name("s").name("t").byte("d").int16(1_664)
        for index in 0..<1_664 { wire = wire.byte(0).name("c\(index)").int32(23).int32(-1) }
        guard case .relation(let relation) = try decode(wire) else {
            Issue.record("not a relation message")
            return
        }
        #expect(relation.columns.count == 1_664)
        #expect(relation.columns.last?.name == "c1663")
    }

    @Test func `is refused with unknown column flags`() {
        let wire = Wire.message("R").int32(1).name("s").name("t").byte("d").int16(1)
            .byte(2).name("c").int32(23).int32(-1)
        #expect(fault(wire.bytes)?.offset == 12)
    }

    @Test func `is refused where a name is not UTF-8, at that byte`() {
        let wire = Wire.message("R").int32(1).adding([0x61, 0xC3, 0x28, 0]).name("t").byte("d")
            .int16(0)
        let error = fault(wire.bytes)
        #expect(error?.expected == "a schema's name")
        #expect(error?.found == "a byte sequence that is not UTF-8")
        #expect(error?.offset == 6)
    }
}
