// SPDX-License-Identifier: Apache-2.0
//
// A job from its first connection to its last statement:
//
//   source opened → target opened → what comes first → channels → dirty records' share →
//   what comes last
//
// The source comes first, so that its snapshot is older than anything that the job itself does.
// Whatever fails ends all channels, each of which rolls back what it has open; batches that were
// committed stay.

import ChangeModel
import Glibc
import LibPQ
public import Logging
public import Settings
import Synchronization

/// How a job's source and target are opened; each may block, and throws `WalrelayError`.
public struct JobEnds: Sendable {
    /// Opens the source for a number of channels.
    public var source: @Sendable (_ channels: Int, JobContext) throws -> any RecordSource
    /// Opens the target for records of a shape.
    public var target: @Sendable (RecordShape, JobContext) throws -> any RecordTarget

    /// Creates a pair of ends.
    public init(
        source: @escaping @Sendable (_ channels: Int, JobContext) throws -> any RecordSource,
        target: @escaping @Sendable (RecordShape, JobContext) throws -> any RecordTarget
    ) {
        self.source = source
        self.target = target
    }
}

/// What a job would do.
public struct JobPlan: Sendable, Equatable {
    /// How many channels would work at the same time.
    public var channels: Int
    /// How many slices they would take.
    public var slices: Int
    /// About how many records there are; nil where nobody knows.
    public var estimatedRecords: Int?
    /// What would be read, a line each.
    public var source: [String]
    /// What would be done on the target, a line each.
    public var target: [String]

    /// Creates a plan.
    public init(
        channels: Int,
        slices: Int,
        estimatedRecords: Int?,
        source: [String],
        target: [String]
    ) {
        self.channels = channels
        self.slices = slices
        self.estimatedRecords = estimatedRecords
        self.source = source
        self.target = target
    }
}

/// Runs a job, once.
public final class JobRunner: Sendable {
    private struct State {
        var progress = JobProgress()
        var begun: ContinuousClock.Instant?
        var copyingBegun: ContinuousClock.Instant?
    }

    private let job: Job
    private let ends: JobEnds
    private let log: Logger
    private let counters = JobCounters()
    private let times = ChannelTimes()
    /// Requested as soon as the job is to end early, for whatever reason.
    private let ending = StopSignal()
    private let isKilled = Atomic(false)
    private let state = Mutex(State())

    /// A job that has not begun; touches nothing yet.
    public init(_ job: Job, ends: JobEnds, log: Logger) {
        self.job = job
        self.ends = ends
        self.log = log
    }

    /// Asks the job to roll back what is open and to end; returns at once, on any thread.
    public func kill() {
        isKilled.store(true, ordering: .releasing)
        ending.request()
    }

    /// How far the job is; on any thread.
    public var progress: JobProgress {
        var progress = state.withLock { state in
            var progress = state.progress
            guard progress.endedAt == nil else { return progress }
            let now = ContinuousClock.now
            if let begun = state.begun { progress.elapsed = now - begun }
            if let begun = state.copyingBegun, progress.phase == .copying {
                progress.copying = now - begun
            }
            return progress
        }
        progress.slicesRead = counters.slicesRead.load(ordering: .relaxed)
        progress.recordsRead = counters.recordsRead.load(ordering: .relaxed)
        progress.bytesRead = counters.bytesRead.load(ordering: .relaxed)
        progress.recordsWritten = counters.recordsWritten.load(ordering: .relaxed)
        progress.dirtyRecords = counters.dirtyRecords.load(ordering: .relaxed)
        progress.unmatchedRecords = counters.unmatchedRecords.load(ordering: .relaxed)
        progress.reading = .nanoseconds(times.reading.load(ordering: .relaxed))
        progress.writing = .nanoseconds(times.writing.load(ordering: .relaxed))
        progress.throttled = .nanoseconds(counters.throttledNanoseconds.load(ordering: .relaxed))
        return progress
    }

    /// Looks at source and target and says what would be done; writes nothing.
    ///
    /// Blocks. Throws `WalrelayError`.
    public func plan() throws -> JobPlan {
        try guarded {
            let context = context { throw Self.unread($0) }
            let source = try openSource(context)
            defer { source.close() }
            let target = try openTarget(source, context)
            return JobPlan(
                channels: channels(of: source),
                slices: source.sliceCount,
                estimatedRecords: source.estimatedRecords,
                source: source.plan,
                target: target.plan
            )
        }
    }

    /// Runs the job to its end; blocks.
    ///
    /// Throws `WalrelayError`: `job.killed` after `kill`, `job.dirty_records` where there are too
    /// many of them, and what source and target throw. `progress` tells then what was done.
    public func run() throws {
        state.withLock { state in
            state.begun = .now
            state.progress.startedAt = Self.milliseconds()
        }
        defer { enter(.ended) }
        try guarded {
            let dirty = try DirtyRecords(
                limit: job.errorLimit,
                file: job.dirtyRecordsFile,
                counters: counters,
                log: log
            )
            do {
                try pass(dirty)
            } catch {
                try? dirty.close()
                throw error
            }
            try dirty.close()
        }
    }

    private func pass(_ dirty: DirtyRecords) throws {
        let context = context { try dirty.report($0) }
        let source = try openSource(context)
        let target: any RecordTarget
        do {
            defer { source.close() }
            target = try openTarget(source, context)
            enter(.preparing)
            let known = target.warnings
            try target.begin()
            // What came first may have made another table of it.
            for warning in target.warnings where !known.contains(warning) {
                log.warning("\(warning)")
            }
            enter(.copying)
            try runChannels(source, target, context)
        }
        // What comes last may put the rows into use: a job with too many dirty ones must not.
        try dirty.checkShare()
        enter(.finishing)
        try target.finish()
    }

    private func runChannels(
        _ source: any RecordSource,
        _ target: any RecordTarget,
        _ context: JobContext
    ) throws {
        let count = channels(of: source)
        let ledger = SliceLedger(source.sliceCount)
        let throttle = Throttle(job.speed)
        let activities = (0..<count).map { _ in ChannelActivity() }
        let observed = StopSignal()
        startThread(named: "times") { [times] in times.observe(activities, until: observed) }
        defer { observed.request() }
        // One signal for all: what a channel throws ends the connections of the others too.
        try Crew(ending: ending).run(count, named: "channel", stop: ending) { number, _ in
            activities[number].enter(.reading)
            let reader = try source.open(target.format)
            activities[number].enter(.writing)
            let channel = Channel(
                reader: reader,
                writer: try target.open(),
                context: context,
                throttle: throttle,
                channels: count,
                activity: activities[number]
            )
            try channel.run(ledger)
        }
        try checkStop()
    }

    // MARK: Opening

    private func context(
        _ report: @escaping @Sendable (DirtyRecord) throws -> Void
    ) -> JobContext {
        var context = JobContext(counters: counters, report: report, stop: ending, log: log)
        context.channels = job.speed.channels
        return context
    }

    private func openSource(_ context: JobContext) throws -> any RecordSource {
        try checkStop()
        let source = try ends.source(job.speed.channels, context)
        for warning in source.warnings { log.warning("\(warning)") }
        state.withLock { state in
            state.progress.slices = source.sliceCount
            state.progress.channels = channels(of: source)
            state.progress.estimatedRecords = source.estimatedRecords
        }
        return source
    }

    private func openTarget(
        _ source: any RecordSource,
        _ context: JobContext
    ) throws -> any RecordTarget {
        try checkStop()
        let target = try ends.target(source.shape, context)
        for warning in target.warnings { log.warning("\(warning)") }
        return target
    }

    /// A channel without a slice would only hold two connections.
    private func channels(of source: any RecordSource) -> Int {
        max(1, min(job.speed.channels, source.sliceCount))
    }

    // MARK: Ending

    private func checkStop() throws {
        if ending.isRequested { throw CancellationError() }
    }

    /// Whatever is thrown once the job was killed is thrown because of that.
    private func guarded<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch {
            guard !isKilled.load(ordering: .acquiring) else { throw killed() }
            if let error = error as? PostgresError {
                throw WalrelayError(error, while: "running the job")
            }
            throw error
        }
    }

    private func killed() -> WalrelayError {
        let written = counters.recordsWritten.load(ordering: .relaxed)
        return WalrelayError(
            "job.killed",
            exit: .killed,
            "The job was stopped; \(written) record\(written == 1 ? " is" : "s are") written, "
                + "the others are rolled back or were not read"
        )
    }

    /// Nothing is read while a job is only planned.
    private static func unread(_ record: DirtyRecord) -> WalrelayError {
        WalrelayError("job.dirty_records", exit: .internalError, record.reason)
    }

    private func enter(_ phase: JobProgress.Phase) {
        state.withLock { state in
            let now = ContinuousClock.now
            if phase == .copying {
                state.copyingBegun = now
            } else if let begun = state.copyingBegun, state.progress.phase == .copying {
                state.progress.copying = now - begun
            }
            if phase == .ended {
                if let begun = state.begun { state.progress.elapsed = now - begun }
                state.progress.endedAt = Self.milliseconds()
            }
            state.progress.phase = phase
        }
    }

    private static func milliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}
