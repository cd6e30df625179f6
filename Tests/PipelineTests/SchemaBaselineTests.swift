// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Testing

@testable import Pipeline

@Suite struct SchemaBaselineTests {
    private func relation(_ oid: UInt32, _ name: String) -> Relation {
        Relation(oid: oid, schema: "public", name: name, replicaIdentity: .default, columns: [])
    }

    private func selection(_ names: [String], exclude: [String] = []) -> TableSelection {
        func pattern(_ name: String) -> TablePattern {
            TablePattern(
                schema: .exact("public"),
                name: name.contains("*") ? .glob(name) : .exact(name)
            )
        }
        return TableSelection(
            include: names.map { TableRule(pattern: pattern($0)) },
            exclude: exclude.map(pattern)
        )
    }

    /// The names to go on with, the losses, and how many notices there are.
    private func outcome(
        _ names: [UInt32: String],
        _ selection: TableSelection
    ) -> (kept: [String], losses: [String], notices: Int) {
        let baseline = SchemaBaseline(
            known: [relation(1, "a"), relation(2, "b")],
            names: names.mapValues { ("public", $0) },
            selection: selection
        )
        return (
            baseline.relations.map(\.name),
            baseline.losses.map { "\($0.relation.name) \($0.what)" },
            baseline.notices.count
        )
    }

    @Test func `what became of the tables is followed, told or refused`() {
        let all: [UInt32: String] = [1: "a", 2: "b"]
        let cases:
            [([UInt32: String], TableSelection, (kept: [String], losses: [String], notices: Int))] =
                [
                    (all, selection(["a", "b"]), (["a", "b"], [], 0)),
                    (all, selection(["*"]), (["a", "b"], [], 0)),
                    // Not taken any more: let go, with a word.
                    (all, selection(["a"]), (["a"], [], 1)),
                    (all, selection(["*"], exclude: ["b"]), (["a"], [], 1)),
                    // Dropped.
                    ([1: "a"], selection(["a", "b"]), (["a", "b"], ["b was dropped"], 0)),
                    ([1: "a"], selection(["a"]), (["a"], [], 1)),
                    ([:], selection(["*"]), (["a", "b"], ["a was dropped", "b was dropped"], 0)),
                    // Renamed: refused, unless the new name is named.
                    (
                        [1: "x", 2: "b"], selection(["a", "b"]),
                        (["a", "b"], ["a was renamed to public.x"], 0)
                    ),
                    (
                        [1: "x", 2: "b"], selection(["*"]),
                        (["a", "b"], ["a was renamed to public.x"], 0)
                    ),
                    ([1: "x", 2: "b"], selection(["x", "b"]), (["a", "b"], [], 1)),
                    ([1: "x", 2: "b"], selection(["b"]), (["b"], [], 1)),
                    // Names that were exchanged: each is named, and neither was accepted.
                    (
                        [1: "b", 2: "a"], selection(["a", "b"]),
                        (
                            ["a", "b"], ["a was renamed to public.b", "b was renamed to public.a"],
                            0
                        )
                    ),
                    (
                        [1: "b"], selection(["a", "b"]),
                        (["a", "b"], ["a was renamed to public.b", "b was dropped"], 0)
                    ),
                ]
        for (index, (names, selection, expected)) in cases.enumerated() {
            let found = outcome(names, selection)
            #expect(found.kept == expected.kept, "case \(index)")
            #expect(found.losses == expected.losses, "case \(index)")
            #expect(found.notices == expected.notices, "case \(index)")
        }
    }

    @Test func `a refusal names every table that is gone and where it was noticed`() throws {
        let sound = SchemaBaseline(
            known: [relation(1, "a")],
            names: [1: ("public", "a")],
            selection: selection(["a"])
        )
        #expect(sound.refusal(at: LSN(16)) == nil)
        let gone = SchemaBaseline(
            known: [relation(1, "a"), relation(2, "b")],
            names: [2: ("other", "b")],
            selection: selection(["a", "b"])
        )
        let error = try #require(gone.refusal(at: LSN(16)))
        #expect(error.exit == .refused && error.code == "stream.table_gone")
        for part in ["public.a was dropped", "public.b was renamed to other.b", "0/10"] {
            #expect(error.message.contains(part))
        }
    }
}
