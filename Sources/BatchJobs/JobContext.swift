// SPDX-License-Identifier: Apache-2.0
//
// What the parts of a running job share: its counters, its dirty records, its end.

public import LibPQ
public import Logging
public import Synchronization

/// What a job has done so far; counted by the channels, read by whoever shows it.
public final class JobCounters: Sendable {
    /// Records that readers lent, dirty ones included.
    public let recordsRead = Atomic<Int>(0)
    /// Their bytes, in COPY's format.
    public let bytesRead = Atomic<Int>(0)
    /// Records that are committed on the target.
    public let recordsWritten = Atomic<Int>(0)
    /// Records that were refused.
    public let dirtyRecords = Atomic<Int>(0)
    /// Records of an update that found no row.
    public let unmatchedRecords = Atomic<Int>(0)
    /// Nanoseconds that channels waited for the throttle.
    public let throttledNanoseconds = Atomic<Int>(0)
    /// Slices that were read to their end.
    public let slicesRead = Atomic<Int>(0)

    /// Nothing done yet.
    public init() {}
}

/// What the parts of a running job share; used from all its threads.
public struct JobContext: Sendable {
    /// What is counted.
    public var counters: JobCounters
    /// Takes a dirty record: counts and keeps it; throws once there are too many.
    public var report: @Sendable (DirtyRecord) throws -> Void
    /// Requested when the job is to end early; ends every wait of its connections.
    public var stop: StopSignal
    /// For what the operator should see.
    public var log: Logger
    /// How many channels may work at the same time and share the process's memory; at least 1.
    public var channels = 1

    /// Creates a context.
    public init(
        counters: JobCounters,
        report: @escaping @Sendable (DirtyRecord) throws -> Void,
        stop: StopSignal,
        log: Logger
    ) {
        self.counters = counters
        self.report = report
        self.stop = stop
        self.log = log
    }
}
