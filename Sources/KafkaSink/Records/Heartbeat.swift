// SPDX-License-Identifier: Apache-2.0
//
// `<topicPrefix>.heartbeat`: a sign of life for readers while no table changes, with the position
// up to which that is so.

#if Kafka
import ChangeModel
import Sink

/// When a heartbeat is due, and what it says.
struct Heartbeat {
    private let interval: Duration
    private let encoder: MetadataRecordEncoder
    private var last = ContinuousClock.now

    init(every interval: Duration, _ encoder: MetadataRecordEncoder) {
        self.interval = interval
        self.encoder = encoder
    }

    /// Whether readers have heard nothing for long enough.
    var isDue: Bool { ContinuousClock.now - last >= interval }

    /// Notes that readers have heard something.
    mutating func restart() {
        last = .now
    }

    /// The record.
    func record(position: LSN, at now: PostgresTime) -> MetadataRecord {
        encoder.heartbeat(position, at: now)
    }
}
#endif
