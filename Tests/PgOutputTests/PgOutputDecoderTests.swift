// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import PgOutput
import Testing

struct PgOutputDecoderTests {
    let insert = Wire.message("I").int32(1).byte("N").tuple(.text("a"))

    @Test(
        arguments: [
            ("S", "stream start", 2), ("E", "stream stop", 2), ("c", "stream commit", 2),
            ("A", "stream abort", 2), ("b", "begin prepare", 3), ("P", "prepare", 3),
            ("K", "commit prepared", 3), ("r", "rollback prepared", 3), ("p", "stream prepare", 3),
        ] as [(Character, String, Int)]
    )
    func `refuses the messages of later protocols by name`(
        kind: Character,
        name: String,
        since: Int
    ) {
        let error = fault(Wire.message(kind).int32(1).byte(1).bytes)
        #expect(
            error?.description
                == "\(name) message of 6 bytes: expected a message of protocol 1, "
                + "found unexpected message kind '\(kind)' (\(name), protocol \(since)) at byte 0"
        )
    }

    @Test(arguments: Array(UInt8.min...UInt8.max).filter { !"BCORYIUDTM".utf8.contains($0) })
    func `refuses every other kind`(kind: UInt8) {
        #expect(fault([kind, 0, 0])?.offset == 0)
    }

    @Test func `refuses an empty payload`() {
        #expect(
            fault([])?.description
                == "empty message of 0 bytes: expected a message's kind (1 byte), "
                + "found the end at byte 0"
        )
    }

    @Test func `reaches the arena's last byte and not beyond`() throws {
        var cells: [Cell] = []
        let last = Int(UInt32.max) - insert.bytes.count
        _ = try PgOutputDecoder().decode(insert.bytes.span, arenaOffset: last, cells: &cells)
        #expect(cells == [Cell(offset: UInt32(last + 13), length: 1)])

        for offset in [last + 1, Int.max, -1, Int.min] {
            do throws(DecodeError) {
                _ = try PgOutputDecoder().decode(
                    insert.bytes.span,
                    arenaOffset: offset,
                    cells: &cells
                )
                Issue.record("decoded at \(offset)")
            } catch {
                #expect(error.expected == "an arena of at most 4 GiB")
            }
            #expect(cells.count == 1)
        }
    }

    @Test func `marks what a key leaves out as absent`() throws {
        let relation = Relation(
            oid: 9,
            schema: "public",
            name: "t",
            replicaIdentity: .index,
            columns: [
                Column(name: "a", typeOID: 23, isKey: true),
                Column(name: "b", typeOID: 25, isKey: false),
                Column(name: "c", typeOID: 23, isKey: true),
            ]
        )
        var decoded = Decoded()
        _ = try decoded.decode(insert.bytes)
        let delete = Wire.message("D").int32(9).byte("K").tuple(.text("1"), .null, .null)
        guard case .delete(_, .key, let key) = try decoded.decode(delete.bytes) else {
            Issue.record("not a delete message with a key")
            return
        }
        try PgOutputDecoder.markAbsent(cells: &decoded.cells, tuple: key, relation: relation)
        #expect(decoded.texts(key) == ["1", "<absent>", "<null>"])
        #expect(decoded.texts(TupleCells(first: 0, count: 1)) == ["a"])
    }

    @Test func `marks only what came as NULL`() throws {
        let relation = Relation(
            oid: 9,
            schema: "public",
            name: "t",
            replicaIdentity: .default,
            columns: (1...3).map { Column(name: "c\($0)", typeOID: 25) }
        )
        let value = Cell(offset: 4, length: 2)
        var cells = [value, .unchanged, .null]
        let tuple = TupleCells(first: 0, count: 3)
        try PgOutputDecoder.markAbsent(cells: &cells, tuple: tuple, relation: relation)
        #expect(cells == [value, .unchanged, .absent])
    }

    @Test(arguments: [0, 1, 3] as [UInt16])
    func `refuses to mark a tuple that does not fit its relation`(count: UInt16) {
        let relation = Relation(
            oid: 9,
            schema: "public",
            name: "t",
            replicaIdentity: .default,
            columns: [Column(name: "a", typeOID: 23), Column(name: "b", typeOID: 23)]
        )
        var cells = [Cell](repeating: .null, count: 3)
        #expect(throws: DecodeError.self) {
            try PgOutputDecoder.markAbsent(
                cells: &cells,
                tuple: TupleCells(first: 0, count: count),
                relation: relation
            )
        }
        #expect(cells == [.null, .null, .null])
    }
}
