// SPDX-License-Identifier: Apache-2.0
//
// Sets of keys held against a set of numbers that is spelled out.

import ChangeModel
import Foundation
import Testing

@Suite struct KeyRangesTests {
    private func ranges(_ pairs: (Int64?, Int64?)...) -> KeyRanges {
        KeyRanges(pairs.map { KeyRange($0.0, $0.1) })
    }

    @Test func `neighbours become one range and strangers do not`() {
        #expect(ranges((1, 5), (5, 9)).ranges == [KeyRange(1, 9)])
        #expect(ranges((5, 9), (1, 5)).ranges == [KeyRange(1, 9)])
        #expect(ranges((1, 5), (6, 9)).ranges == [KeyRange(1, 5), KeyRange(6, 9)])
        #expect(ranges((1, 3), (7, 9), (5, 6), (2, 8)).ranges == [KeyRange(1, 9)])
        #expect(ranges((nil, 5), (5, nil)).isEverything)
        #expect(ranges((4, 4), (5, 3)).isEmpty)
    }

    @Test func `the least and the greatest number are numbers like others`() {
        var all = KeyRanges([.everything])
        all.remove(.max)
        all.remove(.min)
        #expect(!all.contains(.max) && !all.contains(.min))
        #expect(all.contains(.max - 1) && all.contains(.min + 1))
        #expect(all.complement.ranges == [KeyRange(nil, .min + 1), KeyRange(.max, nil)])
        all.insert(KeyRange(.min))
        all.insert(KeyRange(.max))
        #expect(all.isEverything)
        #expect(all.complement.isEmpty && KeyRanges().complement.isEverything)
    }

    @Test func `whatever is put in and taken out, it is the set that it should be`() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            var set = Set<Int64>()
            var keys = KeyRanges()
            for _ in 0..<30 {
                let lower = Int64.random(in: 0...40, using: &random)
                let upper = Int64.random(in: 0...40, using: &random)
                if Bool.random(using: &random) {
                    keys.insert(KeyRange(lower, upper))
                    if lower < upper { set.formUnion(lower..<upper) }
                } else {
                    keys.remove(lower)
                    set.remove(lower)
                }
                let inside = (-1...41).filter { keys.contains($0) }
                #expect(inside == set.sorted())
                let outside = (-1...41).filter { keys.complement.contains($0) }
                #expect(outside == (-1...41).filter { !set.contains($0) })
                let missing = keys.missing(of: KeyRange(lower, upper))
                let asked = lower < upper ? Array(lower..<upper) : []
                let found = asked.filter { key in missing.contains { $0.contains(key) } }
                #expect(found == asked.filter { !set.contains($0) })
                for (left, right) in zip(keys.ranges, keys.ranges.dropFirst()) {
                    #expect(try #require(left.upper) < #require(right.lower))
                }
                let data = try JSONEncoder().encode(keys)
                #expect(try JSONDecoder().decode(KeyRanges.self, from: data) == keys)
            }
        }
    }

    @Test(arguments: [
        "[[1]]", "[[5,1]]", "[[1,5],[5,9]]", "[[1,null],[7,9]]", "[[3,4],[1,2]]", "7",
    ])
    func `ranges that do not ascend are refused`(text: String) {
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(KeyRanges.self, from: Data(text.utf8))
        }
    }

    @Test func `whole numbers are read as PostgreSQL prints them`() {
        let texts: [(String, Int64?)] = [
            ("0", 0), ("-1", -1), ("42", 42), ("9223372036854775807", .max),
            ("-9223372036854775808", .min), ("9223372036854775808", nil),
            ("-9223372036854775809", nil), ("", nil), ("-", nil), ("4x", nil), (" 4", nil),
            ("+4", nil), ("4294967295", 4_294_967_295),
        ]
        for (text, value) in texts {
            #expect(Int64(postgresText: Array(text.utf8).span) == value, "\(text)")
        }
    }

    @Test func `copies of a table add up until it is whole`() {
        var copy = TableCopy(oid: 1, point: LSN(5))
        copy.add(TableCopy(oid: 1, point: LSN(5), progress: .keys(column: "id", ranges((nil, 5)))))
        copy.add(
            TableCopy(
                oid: 1,
                point: LSN(5),
                progress: .keys(column: "id", ranges((9, nil))),
                rows: 3
            )
        )
        #expect(copy.progress == .keys(column: "id", ranges((nil, 5), (9, nil))))
        copy.add(TableCopy(oid: 1, point: LSN(5), progress: .keys(column: "no", ranges((5, 9)))))
        #expect(copy.progress != .whole, "of another column")
        copy.add(TableCopy(oid: 1, point: LSN(5), progress: .keys(column: "id", ranges((5, 9)))))
        #expect(copy.progress == .whole && copy.rows == 3)
        copy.add(TableCopy(oid: 1, point: LSN(5)))
        #expect(copy.progress == .whole)
    }

    @Test func `a checkpoint of an earlier version has no copies and is taken for what it is`()
        throws
    {
        let text = """
            {"task":"t","systemIdentifier":"1","database":"d","slot":"s","position":"0/10",
             "snapshot":"STATE","snapshotLSN":"0/10","relations":[],"types":[]}
            """
        func read(_ state: String) throws -> Checkpoint {
            let text = text.replacing("STATE", with: state)
            return try JSONDecoder().decode(Checkpoint.self, from: Data(text.utf8))
        }
        #expect(try read("running").copy(of: 7).progress == .nothing)
        #expect(try read("running").hasCopied == false)
        #expect(try read("complete").copy(of: 7).progress == .whole)
        var checkpoint = try read("running")
        checkpoint.set(
            TableCopy(
                oid: 7,
                point: LSN(1),
                progress: .keys(column: "a\"b", ranges((-4, 9))),
                rows: 2
            )
        )
        checkpoint.set(TableCopy(oid: 8, point: LSN(1), progress: .whole))
        checkpoint.set(TableCopy(oid: 9, point: LSN(1)))
        let data = try JSONEncoder().encode(checkpoint)
        #expect(try JSONDecoder().decode(Checkpoint.self, from: data) == checkpoint)
    }
}
