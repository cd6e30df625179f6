// SPDX-License-Identifier: Apache-2.0
//
// `source.retention` of /status: what the slot may hold back and when it is going to reach that.
// And the lines of the log that come of it: one as a warning begins, few while it stands, one as
// it is over.

extension TaskStatus {
    /// How what the slot holds back stands to the bounds that there are.
    public struct Retention: Sendable, Codable, Equatable {
        /// Bytes from which on it is warned of: `slot.retainWarning`, or half of a server's limit
        /// that is less.
        public var warningBytes: Int?
        /// `slot.retainStop` in bytes.
        public var stopBytes: Int?
        /// What the server lets the slot hold back (max_slot_wal_keep_size; 13 and later).
        public var limitBytes: Int?
        /// Bytes of WAL that may still be written before the slot is lost (13 and later).
        public var safeBytes: Int?
        /// Bytes of WAL that the server has written a second, over the last five minutes.
        public var walBytesPerSecond: Int?
        /// Seconds until the next bound is reached; nil where what is held back does not grow.
        public var forecastSeconds: Int?
        /// Which bound that is: `max_slot_wal_keep_size` or `slot.retainStop`.
        public var forecastLimit: String?
        /// A sentence for the operator; nil while all is well.
        public var warning: String?

        /// Creates a state in which nothing is known.
        public init() {}

        private enum CodingKeys: String, CodingKey {
            case warningBytes, stopBytes, limitBytes, safeBytes, walBytesPerSecond
            case forecastSeconds, forecastLimit, warning
        }

        /// Encodes every key, unknown values as null.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(warningBytes, forKey: .warningBytes)
            try container.encode(stopBytes, forKey: .stopBytes)
            try container.encode(limitBytes, forKey: .limitBytes)
            try container.encode(safeBytes, forKey: .safeBytes)
            try container.encode(walBytesPerSecond, forKey: .walBytesPerSecond)
            try container.encode(forecastSeconds, forKey: .forecastSeconds)
            try container.encode(forecastLimit, forKey: .forecastLimit)
            try container.encode(warning, forKey: .warning)
        }
    }
}

/// When a line of the log is due for a warning that stands.
struct RetentionNotices: Sendable {
    /// A warning that stands is said again after this many nanoseconds.
    static let interval: UInt64 = 3_600_000_000_000

    enum Line: Sendable, Equatable {
        case warning(String)
        case over
    }

    private var last: (time: UInt64, retained: Int64, isGrave: Bool)?

    /// The line that is due now.
    ///
    /// `isGrave` says that the slot is about to be lost or dropped, which is said at once.
    mutating func line(
        for warning: String?,
        retained: Int64,
        isGrave: Bool,
        at time: UInt64
    ) -> Line? {
        guard let warning else {
            defer { last = nil }
            return last == nil ? nil : .over
        }
        if let last, time < last.time + Self.interval, retained / 2 < last.retained,
            last.isGrave || !isGrave
        {
            return nil
        }
        last = (time, retained, isGrave)
        return .warning(warning)
    }
}
