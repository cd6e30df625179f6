// SPDX-License-Identifier: Apache-2.0

/// How far a job is, and once it has ended what it did; one look at it.
public struct JobProgress: Sendable, Equatable {
    /// What a job is at.
    public enum Phase: String, Sendable {
        /// Looking at source and target.
        case connecting
        /// Doing what comes before the first record.
        case preparing
        /// Passing records.
        case copying
        /// Doing what comes after the last record.
        case finishing
        /// It has ended, be it well or not.
        case ended
    }

    /// What the job is at.
    public var phase = Phase.connecting
    /// How many channels work at the same time; 0 before it is known.
    public var channels = 0
    /// How many slices there are; 0 before it is known.
    public var slices = 0
    /// How many of them have been read.
    public var slicesRead = 0
    /// About how many records there are; nil where nobody knows.
    public var estimatedRecords: Int?
    /// Records that were read, dirty ones included.
    public var recordsRead = 0
    /// Their bytes.
    public var bytesRead = 0
    /// Records that are committed on the target.
    public var recordsWritten = 0
    /// Records that were refused.
    public var dirtyRecords = 0
    /// Records of an update that found no row.
    public var unmatchedRecords = 0
    /// Time that channels spent on getting records, all together.
    public var reading = Duration.zero
    /// Time that channels spent on handing records on, all together.
    public var writing = Duration.zero
    /// Time that channels were held back by the job's speed, all together.
    public var throttled = Duration.zero
    /// When the job began, in milliseconds since 1970; 0 before.
    public var startedAt: Int64 = 0
    /// When it ended; nil before.
    public var endedAt: Int64?
    /// How long it has run, from its beginning to now or its end.
    public var elapsed = Duration.zero
    /// How long records have been passed.
    public var copying = Duration.zero

    /// A job that has not begun.
    public init() {}

    /// How much of the records has been read, 0 to 1; nil where nobody knows.
    public var share: Double? {
        switch phase {
        case .connecting, .preparing: return nil
        case .finishing: return 1
        case .copying, .ended: break
        }
        if slices > 0, slicesRead == slices { return 1 }
        if let estimatedRecords, estimatedRecords > 0 {
            // An estimate: not all before all has been read.
            return min(Double(recordsRead) / Double(estimatedRecords), 0.99)
        }
        return slices > 1 ? Double(slicesRead) / Double(slices) : nil
    }
}
