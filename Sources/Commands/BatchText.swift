// SPDX-License-Identifier: Apache-2.0
//
// What a batch job says to people: its plan, its progress, its closing statistics.

import BatchJobs
import ChangeModel
import Pipeline

/// How a batch job is printed.
enum BatchText {
    /// What the job would do; ends in a line feed.
    static func plan(_ plan: JobPlan) -> String {
        let slices = "\(TerminalText.grouped(plan.slices)) slice\(plan.slices == 1 ? "" : "s")"
        let channels = "\(plan.channels) channel\(plan.channels == 1 ? "" : "s")"
        let records =
            plan.estimatedRecords.map { ", about \(TerminalText.grouped($0)) records" } ?? ""
        return "reader: \(slices) in \(channels)\(records)\n" + lines(plan.source)
            + "writer:\n" + lines(plan.target)
    }

    private static func lines(_ lines: [String]) -> String {
        lines.map { "  \($0.shown)\n" }.joined()
    }

    /// The statistics of a job that has ended; ends in a line feed.
    static func statistics(_ job: JobProgress) -> String {
        func time(_ milliseconds: Int64?) -> String {
            milliseconds.map { "\(UTCTimestamp(unixMilliseconds: $0))" } ?? ""
        }
        let seconds = job.elapsed.inSeconds
        // Numbers without commas: programs read them too.
        let bytes = Int(Double(job.bytesRead) / max(seconds, 0.001))
        let records = Int(Double(job.recordsRead) / max(seconds, 0.001))
        var rows = [
            ["start", time(job.startedAt)],
            ["end", time(job.endedAt)],
            ["seconds", decimals(seconds, 3)],
            ["bytes/s", "\(bytes) (\(TerminalText.bytes(Int64(bytes)))/s)"],
            ["records/s", "\(records)"],
            ["total read", "\(job.recordsRead)"],
            ["total written", "\(job.recordsWritten)"],
            ["failed", "\(job.dirtyRecords)"],
        ]
        if job.unmatchedRecords > 0 { rows.append(["not found", "\(job.unmatchedRecords)"]) }
        return TerminalText.table(rows)
    }

    static func grouped(_ number: Double) -> String {
        TerminalText.grouped(Int(min(max(number, 0), 1e18)))
    }

    /// A number that is not negative with some digits behind its point, cut off.
    static func decimals(_ number: Double, _ count: Int) -> String {
        let scale = (0..<count).reduce(1) { scale, _ in scale * 10 }
        let scaled = Int(min(max(number, 0) * Double(scale), 1e18))
        let digits = String(scaled % scale)
        return "\(scaled / scale)."
            + String(repeating: "0", count: count - digits.utf8.count) + digits
    }
}

/// The progress of a batch job.
struct BatchProgressText: ProgressText {
    /// How long the bar's rate looks back.
    private static let memory = 25

    private let look: @Sendable () -> JobProgress
    private var recent: [(time: ContinuousClock.Instant, records: Int)] = []
    private var reported = (time: ContinuousClock.now, records: 0, bytes: 0)

    /// A text on what `look` finds.
    init(_ look: @escaping @Sendable () -> JobProgress) {
        self.look = look
    }

    mutating func bar(at now: ContinuousClock.Instant) -> String {
        let job = look()
        recent.append((now, job.recordsRead))
        if recent.count > Self.memory { recent.removeFirst() }
        return Self.bar(job, recordsPerSecond: rate(at: now, job.recordsRead))
    }

    private func rate(at now: ContinuousClock.Instant, _ records: Int) -> Double {
        guard let first = recent.first, now - first.time >= .milliseconds(500) else { return 0 }
        return Double(records - first.records) / (now - first.time).inSeconds
    }

    /// `copying [####....] 45 %, 1,234,567 records, 45,000 records/s, 3 min left`.
    static func bar(_ job: JobProgress, recordsPerSecond: Double) -> String {
        var text = job.phase.rawValue
        guard job.phase == .copying else { return text }
        if let share = job.share { text += TerminalText.bar(share) }
        text += ", \(TerminalText.grouped(job.recordsRead)) records"
        if recordsPerSecond > 0 { text += ", \(BatchText.grouped(recordsPerSecond))/s" }
        if job.dirtyRecords > 0 { text += ", \(TerminalText.grouped(job.dirtyRecords)) dirty" }
        if let left = left(job) { text += ", \(TerminalText.time(seconds: left)) left" }
        return text
    }

    /// Seconds until the end, if it goes on as it went so far.
    private static func left(_ job: JobProgress) -> Int64? {
        guard let share = job.share, share > 0.001, job.copying >= .seconds(2) else { return nil }
        return Int64(min(job.copying.inSeconds * (1 - share) / share, 1e12).rounded(.up))
    }

    mutating func report(at now: ContinuousClock.Instant) -> String {
        let job = look()
        let seconds = max((now - reported.time).inSeconds, 0.001)
        let line = Self.report(
            job,
            recordsPerSecond: Double(job.recordsRead - reported.records) / seconds,
            bytesPerSecond: Double(job.bytesRead - reported.bytes) / seconds
        )
        reported = (now, job.recordsRead, job.bytesRead)
        return line
    }

    /// Totals, speeds since the last report, errors, and what the channels spent their time on.
    static func report(
        _ job: JobProgress,
        recordsPerSecond: Double,
        bytesPerSecond: Double
    ) -> String {
        guard job.phase == .copying else { return job.phase.rawValue }
        var text =
            "\(TerminalText.grouped(job.recordsRead)) records, "
            + "\(TerminalText.bytes(Int64(job.bytesRead)))"
            + ", \(BatchText.grouped(recordsPerSecond)) records/s, "
            + "\(TerminalText.bytes(Int64(min(max(bytesPerSecond, 0), 1e18))))/s"
            + ", \(TerminalText.grouped(job.dirtyRecords)) dirty"
            + ", reading \(BatchText.decimals(job.reading.inSeconds, 1)) s"
            + ", writing \(BatchText.decimals(job.writing.inSeconds, 1)) s"
        if job.throttled > .zero {
            text += ", throttled \(BatchText.decimals(job.throttled.inSeconds, 1)) s"
        }
        if let share = job.share { text += ", \(BatchText.decimals(share * 100, 1)) %" }
        if let left = left(job) { text += ", \(TerminalText.time(seconds: left)) left" }
        return text
    }
}
