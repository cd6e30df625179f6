// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Replication
import Testing

@Suite struct SchemaGuardTests {
    private let old = relation(1, "a", ["v", "w"])

    private func faults(_ change: (inout Relation) -> Void) -> [String] {
        var new = old
        change(&new)
        guard case .unsupported(let faults) = SchemaGuard.compare(old, new) else { return [] }
        return faults
    }

    @Test func `the same is no change`() {
        #expect(SchemaGuard.compare(old, old) == .none)
    }

    @Test func `added columns are followed wherever they stand`() {
        let more = Column(name: "more", typeOID: 25)
        for place in 0...old.columns.count {
            var new = old
            new.columns.insert(more, at: place)
            #expect(SchemaGuard.compare(old, new) == .columnsAdded([more]))
        }
    }

    @Test func `under FULL an added column counts as key and is followed`() {
        var full = old
        full.replicaIdentity = .full
        for index in full.columns.indices { full.columns[index].isKey = true }
        var wider = full
        let more = Column(name: "more", typeOID: 25, isKey: true)
        wider.columns.append(more)
        #expect(SchemaGuard.compare(full, wider) == .columnsAdded([more]))
    }

    @Test func `an added column in the key is a changed key`() {
        let faults = faults { $0.columns.append(Column(name: "k2", typeOID: 23, isKey: true)) }
        #expect(faults.count == 1)
        #expect(faults.first?.contains("\"k2\"") == true)
    }

    @Test func `each other change is named, with old and new`() {
        let cases: [([String], (inout Relation) -> Void)] = [
            (["public.a", "public.b"], { $0.name = "b" }),
            (["public.a", "other.a"], { $0.schema = "other" }),
            (
                ["\"v\"", "dropped"],
                {
                    $0.columns.remove(at: 1)
                    $0.columns[1].typeOID = 25
                }
            ),
            (["\"v\"", "renamed to \"x\""], { $0.columns[1].name = "x" }),
            (
                ["\"v\"", "OID 25", "OID 1043, modifier 12"],
                {
                    $0.columns[1].typeOID = 1_043
                    $0.columns[1].typeModifier = 12
                }
            ),
            (["\"v\"", "modifier 8"], { $0.columns[1].typeModifier = 8 }),
            (["key", "(\"id\")", "(\"id\", \"v\")"], { $0.columns[1].isKey = true }),
            (["key", "default", "full"], { $0.replicaIdentity = .full }),
            (["order"], { $0.columns.swapAt(1, 2) }),
        ]
        for (parts, change) in cases {
            let text = faults(change).joined(separator: "; ")
            for part in parts { #expect(text.contains(part), "\(part) in: \(text)") }
        }
    }

    @Test func `a dropped column is not hidden by an added one`() {
        let faults = faults {
            $0.columns.remove(at: 1)
            $0.columns.append(Column(name: "n", typeOID: 23))
        }
        #expect(faults.contains { $0.contains("\"v\"") && $0.contains("dropped") })
    }

    @Test func `every fault is told at once`() {
        let faults = faults {
            $0.name = "b"
            $0.columns[1].typeOID = 20
            $0.columns.remove(at: 2)
            $0.columns[0].isKey = false
        }
        #expect(faults.count == 4)
    }
}
