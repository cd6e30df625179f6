// SPDX-License-Identifier: Apache-2.0

import LibPQ
import Testing

@testable import BatchJobs

@Suite struct WritingSearchTests {
    /// Runs a search over rows of which some are bad; returns what it found and its attempts.
    private func search(
        _ count: Int,
        bad: Set<Int>,
        names: (Range<Int>) -> Int? = { _ in nil }
    ) -> (bad: [Int], taken: [Int], attempts: Int) {
        var search = BadRowSearch(count: count)
        var (found, taken, attempts) = ([Int](), [Int](), 0)
        while let range = search.range, attempts < 100_000 {
            attempts += 1
            if range.contains(where: bad.contains) {
                if let row = search.refused(at: names(range)) { found.append(row) }
            } else {
                taken += range
                search.succeeded()
            }
        }
        return (found, taken, attempts)
    }

    @Test(arguments: 1...12)
    func `every row is taken or found bad once, in its order`(count: Int) {
        for pattern in 0..<(1 << count) {
            let bad = Set((0..<count).filter { pattern >> $0 & 1 == 1 })
            let hints: [(Range<Int>) -> Int?] = [
                { _ in nil }, { range in range.first(where: bad.contains) },
                // A server that names the wrong row costs attempts, and no row.
                { $0.lowerBound }, { $0.upperBound - 1 }, { $0.upperBound + 5 },
            ]
            for hint in hints {
                let result = search(count, bad: bad, names: hint)
                #expect(result.bad == bad.sorted())
                #expect(result.taken == (0..<count).filter { !bad.contains($0) })
            }
        }
    }

    @Test func `few bad rows cost few attempts, and many no more than one each`() {
        let few: Set = [17, 4_000, 4_001, 9_999]
        #expect(search(10_000, bad: few).attempts < 150)
        #expect(search(10_000, bad: few, names: { $0.first(where: few.contains) }).attempts < 50)
        let all = Set(0..<10_000)
        #expect(search(10_000, bad: all).attempts < 10_050)
    }

    @Test(
        arguments: [
            ("COPY items, line 5, column n: \"x\"", 4, "n"),
            ("COPY items, line 12: \"1\t2\"", 11, nil),
            ("COPY items, line 3", 2, nil),
            ("PL/pgSQL function f() line 9 at RAISE\nCOPY items, line 2", 1, nil),
            ("COPY items, Zeile 7, Spalte a: \"x\"", 6, nil),
            ("PL/pgSQL function f() line 9 at RAISE", nil, nil), ("", nil, nil),
        ] as [(String, Int?, String?)]
    )
    func `the row and the column of an error are read from its context`(
        context: String,
        row: Int?,
        column: String?
    ) {
        var error = PostgresError(kind: .server, sqlState: "22P02", message: "x")
        error.context = context
        #expect(CopyContext(error).row == row)
        #expect(CopyContext(error).column == column)
    }

    @Test func `the place of an error is shown, or else how the statement begins`() {
        #expect(WriterFault.place(in: "SELECT\n x", 9) == "   x\n   ^")
        #expect(WriterFault.place(in: "SELECT\n x") == "  SELECT")
        #expect(WriterFault.place(in: "SELECT x", 99) == "  SELECT x")
    }
}
