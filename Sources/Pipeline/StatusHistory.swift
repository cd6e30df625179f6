// SPDX-License-Identifier: Apache-2.0
//
// The last hour of a task, a point every five seconds: what the page draws and /history gives. It
// lives in the daemon, so that whoever opens the page sees what was before. A ring of 720 points of
// 64 bytes; a point that was not taken, or a value that nobody knew then, is a gap and not a zero.

/// The last hour, in points of five seconds.
public struct StatusHistory: Sendable {
    /// Seconds from a point to the next.
    public static let interval = 5
    /// The most points: an hour.
    public static let limit = 720

    private static let intervalNanoseconds = UInt64(interval) * 1_000_000_000

    /// One moment; a rate is the mean since the point before.
    public struct Point: Sendable, Equatable {
        /// What the task was doing.
        public var phase: TaskStatus.Phase
        /// Changes made durable a second.
        public var changesPerSecond: Float?
        /// Rows of the snapshot read a second.
        public var rowsPerSecond: Float?
        /// Bytes written to the sink a second.
        public var bytesPerSecond: Float?
        /// Milliseconds from a commit to its being durable.
        public var lagMilliseconds: Int?
        /// Bytes of WAL from the confirmed position to the end of WAL.
        public var lagBytes: Int?
        /// Bytes of WAL that the server keeps because of the slot.
        public var retainedBytes: Int?

        /// Creates a point at which nothing but the phase is known.
        public init(phase: TaskStatus.Phase) {
            self.phase = phase
        }
    }

    /// The points from the oldest to the newest, nil for one that was not taken; at most 720.
    public private(set) var points: [Point?] = []
    /// When the newest point was taken, in milliseconds since 1970-01-01 UTC; nil without points.
    public private(set) var newestUnixMilliseconds: Int64?
    private var newest: UInt64 = 0

    /// Creates an empty history.
    public init() {}

    /// Adds a point, and says after how long the next one is due: in the middle of its five seconds.
    mutating func add(_ point: Point, at now: UInt64, unixMilliseconds: Int64) -> Duration {
        let slot = now / Self.intervalNanoseconds
        let next = (slot + 1) * Self.intervalNanoseconds + Self.intervalNanoseconds / 2
        if points.isEmpty || slot > newest {
            let missed = points.isEmpty ? 0 : Int(min(slot - newest - 1, UInt64(Self.limit)))
            points += [Point?](repeating: nil, count: missed) + [point]
            points.removeFirst(max(0, points.count - Self.limit))
            newest = slot
            newestUnixMilliseconds = unixMilliseconds
        }
        return .nanoseconds(Int64(clamping: next - now))
    }
}

/// What a point's rates are made of: sums at a moment.
struct HistoryTotals: Sendable {
    private let at: UInt64
    private let changes: Int
    private let rows: Int
    private let bytes: Int?

    init(_ status: TaskStatus, at now: UInt64) {
        at = now
        changes = status.stream.changes
        rows = status.snapshot.rowsCopied
        bytes = status.sink.number("bytesWritten")
    }

    /// The mean from the former moment to this one; nil where the sum began anew in between.
    func rate(_ sum: (Self) -> Int?, since former: Self?) -> Float? {
        guard let former, at > former.at, let now = sum(self), let before = sum(former),
            now >= before
        else { return nil }
        return Float(Double(now - before) * 1e9 / Double(at - former.at))
    }

    var sums: (changes: Int, rows: Int, bytes: Int?) { (changes, rows, bytes) }
}

extension StatusHistory.Point {
    /// The point of a status.
    ///
    /// What the server was last asked for is old while the task is not connected to it, and so it
    /// is not known; nor is a lag while nothing is on its way.
    init(_ status: TaskStatus, totals: HistoryTotals, former: HistoryTotals?) {
        self.init(phase: status.phase)
        changesPerSecond = totals.rate(\.sums.changes, since: former)
        rowsPerSecond = totals.rate(\.sums.rows, since: former)
        bytesPerSecond = totals.rate(\.sums.bytes, since: former)
        let isConnected = [.snapshotting, .streaming, .stopping].contains(status.phase)
        if isConnected || status.stream.isPending {
            lagMilliseconds = status.stream.lagMilliseconds
        }
        guard isConnected else { return }
        lagBytes = status.source.lagBytes
        retainedBytes = status.source.retainedBytes
    }
}

extension TaskStatus.Stream {
    /// Whether something that was received is not durable yet.
    var isPending: Bool {
        guard let receivedLSN, let durableLSN else { return false }
        return receivedLSN != durableLSN
    }
}
