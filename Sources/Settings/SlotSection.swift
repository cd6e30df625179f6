// SPDX-License-Identifier: Apache-2.0
//
// The section `slot`: what becomes of the task's slot in a failover of the source.

extension Settings {
    /// `slot`: the replication slot.
    public struct Slot: Sendable, Equatable {
        /// Whether standby servers are to copy it, which takes 17 or later.
        public var failover = false

        /// Creates the default section.
        public init() {}
    }
}

extension Settings.Slot {
    static func read(_ section: Section) -> Self? {
        var slot = Self()
        section.take("failover", .boolean, into: &slot.failover)
        return slot
    }
}
