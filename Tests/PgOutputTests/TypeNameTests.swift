// SPDX-License-Identifier: Apache-2.0

import PgOutput
import Testing

struct TypeNameTests {
    let wire = Wire.message("Y").int32(16_400).name("public").name("mood")

    @Test func `names a type`() throws {
        guard case .type(let type) = try decode(wire) else {
            Issue.record("not a type message")
            return
        }
        #expect(type.oid == 16_400)
        #expect(type.schema == "public")
        #expect(type.name == "mood")
    }

    @Test func `takes an empty schema for pg_catalog, as domains have it`() throws {
        guard case .type(let type) = try decode(.message("Y").int32(1).name("").name("int4"))
        else {
            Issue.record("not a type message")
            return
        }
        #expect(type.schema == "pg_catalog")
    }

    @Test func `is refused when cut short or drawn out`() {
        expectEveryLengthMatters(wire)
    }
}
