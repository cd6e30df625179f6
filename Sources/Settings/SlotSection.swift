// SPDX-License-Identifier: Apache-2.0
//
// The section `slot`: how much WAL the task's slot may hold back in the source, and what becomes of
// it in a failover.

extension Settings {
    /// `slot`: the replication slot.
    public struct Slot: Sendable, Equatable {
        /// Bytes from which on it is warned of; nil never warns.
        public var retainWarning: Int? = 5 << 30
        /// Bytes from which on the slot is dropped and the task ends; nil never does.
        public var retainStop: Int?
        /// Whether standby servers are to copy it, which takes 17 or later.
        public var failover = false

        /// Creates the default section.
        public init() {}
    }
}

extension Settings.Slot {
    /// 1 MiB to 1 PiB.
    private static let bounds = (1 << 20)...(1 << 50)

    static func read(_ section: Section) -> Self? {
        var slot = Self()
        let size = Form<Int>.size(in: bounds).or("none")
        section.take("retainWarning", size, into: &slot.retainWarning)
        section.take("retainStop", size, into: &slot.retainStop)
        section.take("failover", .boolean, into: &slot.failover)
        guard let stop = slot.retainStop else { return slot }
        if !section.has("retainWarning") {
            // The default would come too late to be one.
            slot.retainWarning = min(slot.retainWarning ?? stop / 2, stop / 2)
        } else if let warning = slot.retainWarning, warning >= stop {
            section.fault("retainWarning", "must be less than retainStop")
        }
        return slot
    }
}
