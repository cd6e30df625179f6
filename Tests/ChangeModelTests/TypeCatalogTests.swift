// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Testing

@Suite struct TypeCatalogTests {
    /// (OID, modifier) as pg_attribute has them on PostgreSQL 15, and what they mean.
    @Test(
        arguments: [
            (16, -1, .boolean), (20, -1, .integer), (21, -1, .integer), (23, -1, .integer),
            (26, -1, .integer), (28, -1, .integer), (29, -1, .integer), (5069, -1, .integer),
            (700, -1, .float), (701, -1, .float), (790, -1, .money), (17, -1, .binary),
            (1700, -1, .numeric(scale: nil)), (1700, 655_366, .numeric(scale: 2)),
            (1700, 526_338, .numeric(scale: -2)), (1700, 196_617, .numeric(scale: 5)),
            (1700, 65_540, .numeric(scale: 0)), (1700, 65_536_004 + 1000, .numeric(scale: 1000)),
            (1082, -1, .date), (1083, -1, .time(precision: 6)), (1083, 0, .time(precision: 0)),
            (1114, 3, .timestamp(precision: 3)), (1184, -1, .timestampWithZone(precision: 6)),
            (1266, 2, .timeWithZone(precision: 2)), (1186, 2_147_418_115, .interval),
            (1560, 1, .bit), (1560, 3, .text), (1560, -1, .text), (1562, 1, .text),
            (1562, 5, .text),
            (18, -1, .text), (25, -1, .text), (1042, 5, .text), (1043, -1, .text),
            (2950, -1, .text),
            (114, -1, .text), (3802, -1, .text), (869, -1, .text), (3904, -1, .text),
            (600, -1, .text),
            (22, -1, .text), (4451, -1, .text), (99_999, -1, .text),
            (1007, -1, .array(element: .integer, delimiter: 0x2C)),
            (1231, 393_222, .array(element: .numeric(scale: 2), delimiter: 0x2C)),
            (1561, 1, .array(element: .bit, delimiter: 0x2C)),
            (1115, 0, .array(element: .timestamp(precision: 0), delimiter: 0x2C)),
            (1020, -1, .array(element: .text, delimiter: 0x3B)),
            (6150, -1, .array(element: .text, delimiter: 0x2C)),
        ] as [(UInt32, Int32, ValueType)]
    )
    func `built-in types and their modifiers`(oid: UInt32, modifier: Int32, type: ValueType) {
        #expect(TypeCatalog().type(oid: oid, modifier: modifier) == type)
    }

    @Test func `types of the database, once added`() {
        var catalog = TypeCatalog()
        catalog.add(entry(20_000, "mood", .enumeration))
        catalog.add(entry(20_001, "_mood", .base, element: 20_000))
        catalog.add(entry(20_002, "price", .domain, base: 1700, modifier: 655_366))
        catalog.add(entry(20_003, "_price", .base, element: 20_002))
        catalog.add(entry(20_004, "prices", .domain, base: 20_003))
        catalog.add(entry(20_005, "hstore", .base))
        catalog.add(entry(20_006, "_hstore", .base, element: 20_005))
        catalog.add(entry(20_007, "citext", .base))
        catalog.add(entry(20_008, "pair", .composite))
        catalog.add(entry(20_009, "floatrange", .range))
        catalog.add(entry(20_010, "hstore", .enumeration))
        let prices = ValueType.array(element: .numeric(scale: 2), delimiter: 0x2C)
        #expect(
            (20_000...20_010).map { catalog.type(oid: $0, modifier: -1) } == [
                .text, .array(element: .text, delimiter: 0x2C), .numeric(scale: 2), prices, prices,
                .hstore, .array(element: .hstore, delimiter: 0x2C), .text, .text, .text, .text,
            ]
        )
    }

    @Test func `the unknown OIDs are those that a relation leads to`() {
        var catalog = TypeCatalog()
        let relation = Relation(
            oid: 1,
            schema: "s",
            name: "t",
            replicaIdentity: .default,
            columns: [20_003, 23, 1007, 20_001, 20_003].map { Column(name: "c", typeOID: $0) }
        )
        #expect(catalog.unknown(in: relation) == [20_001, 20_003])
        catalog.add(entry(20_001, "mood", .enumeration))
        catalog.add(entry(20_003, "_price", .base, element: 20_002))
        #expect(catalog.unknown(in: relation) == [20_002])
        catalog.add(entry(20_002, "price", .domain, base: 1700))
        #expect(catalog.unknown(in: relation).isEmpty)
        #expect(catalog.types(of: relation).count == 5)
    }

    @Test func `a circle of domains ends as text`() {
        var catalog = TypeCatalog()
        catalog.add(entry(20_000, "a", .domain, base: 20_001))
        catalog.add(entry(20_001, "b", .domain, base: 20_000))
        #expect(catalog.type(oid: 20_000, modifier: -1) == .text)
        let relation = Relation(
            oid: 1,
            schema: "s",
            name: "t",
            replicaIdentity: .default,
            columns: [Column(name: "c", typeOID: 20_000)]
        )
        #expect(catalog.unknown(in: relation).isEmpty)
    }

    private func entry(
        _ oid: UInt32,
        _ name: String,
        _ kind: TypeEntry.Kind,
        element: UInt32 = 0,
        base: UInt32 = 0,
        modifier: Int32 = -1
    ) -> TypeEntry {
        TypeEntry(
            oid: oid,
            name: name,
            schema: "public",
            kind: kind,
            element: element,
            base: base,
            baseModifier: modifier
        )
    }
}
