// SPDX-License-Identifier: Apache-2.0

import Settings
import Testing

@Suite struct SlotSectionTests {
    private func slot(_ text: String) throws -> Settings.Slot {
        try Draft(more: "slot: \(text)").settings().slot
    }

    @Test func `without it there is a warning and no stop`() throws {
        #expect(try slot("").retainWarning == 5 << 30)
        #expect(try slot("").retainStop == nil)
        let none = try slot("{ retainWarning: none, retainStop: none }")
        #expect(none.retainWarning == nil && none.retainStop == nil)
    }

    @Test func `a stop below the default's warning brings a warning of its own`() throws {
        let tight = try slot("{ retainStop: 2GiB }")
        #expect(tight.retainWarning == 1 << 30 && tight.retainStop == 2 << 30)
        let wide = try slot("{ retainStop: 1TiB }")
        #expect(wide.retainWarning == 5 << 30)
        let both = try slot("{ retainWarning: 1MiB, retainStop: 2MiB }")
        #expect(both.retainWarning == 1 << 20 && both.retainStop == 2 << 20)
        #expect(try slot("{ retainWarning: none, retainStop: 2GiB }").retainWarning == nil)
    }

    @Test(
        arguments: [
            (
                "{ retainWarning: 3GiB, retainStop: 2GiB }",
                "s:5:9: slot.retainWarning: must be less than retainStop"
            ),
            (
                "{ retainStp: 2GiB }",
                "s:5:9: unknown key \"retainStp\" in slot (did you mean \"retainStop\"?)"
            ),
            (
                "{ retainStop: 1kB }",
                "s:5:21: slot.retainStop: \"1kB\" is out of bounds: 1MiB to 1024TiB; none is"
                    + " allowed too"
            ),
        ]
    )
    func `what makes no sense is a fault with its place`(text: String, fault: String) {
        #expect(Draft(more: "slot: \(text)").faults() == [fault])
    }
}
