// SPDX-License-Identifier: Apache-2.0
//
// A line over time as SVG. Receives the points of a window of the history, gives a figure with its
// axes, its lowest and highest value in words, and gaps where nothing was known. At most 360
// columns, each the highest of its points, so that no peak is lost and the page stays small.

import ChangeModel
import Pipeline

/// What a graph counts.
enum GraphUnit: String {
    case rate, bytes, milliseconds

    func text(_ value: Double) -> String {
        switch self {
        case .rate: Quantity.count(value)
        case .bytes: Quantity.bytes(Self.whole(value))
        case .milliseconds: Quantity.time(milliseconds: Self.whole(value))
        }
    }

    /// The largest integer where the value, of a server that claims a lot, is none.
    private static func whole(_ value: Double) -> Int64 {
        Int64(exactly: value.rounded(.down)) ?? .max
    }

    /// The end of an axis that has room for the value: a number that halves well.
    func axisEnd(for value: Double) -> Double {
        switch self {
        case .rate: Self.decimal(value, least: 10)
        case .bytes: Self.doubled(65_536, until: value)
        case .milliseconds:
            value <= 10_000
                ? Self.decimal(value, least: 100)
                : Self.times.first { $0 >= value } ?? Self.doubled(864_000_000, until: value)
        }
    }

    /// 20 s to 10 days.
    private static let times: [Double] = [
        20, 60, 120, 240, 600, 1200, 3600, 7200, 14_400, 43_200, 86_400, 172_800, 345_600, 864_000,
    ].map { $0 * 1000 }

    /// 1, 2 or 5 and zeros.
    private static func decimal(_ value: Double, least: Double) -> Double {
        var power = least
        while power < 1e15 {
            if let end = [1, 2, 5].lazy.map({ $0 * power }).first(where: { $0 >= value }) {
                return end
            }
            power *= 10
        }
        return max(value, least)
    }

    private static func doubled(_ start: Double, until value: Double) -> Double {
        var end = start
        while end < value, end < 1e18 { end *= 2 }
        return end
    }
}

/// A figure of one line.
struct PageGraph {
    static let columnLimit = 360

    var id: String
    var title: String
    /// The value of this moment with its unit.
    var now: String
    var note = ""
    var unit: GraphUnit
    /// The name of the values in /history.
    var key: String
    /// From the oldest to the newest, nil where nothing is known.
    var values: [Double?]
    /// Whether the task was trying to connect, for each value.
    var outages: [Bool]

    var figure: Markup {
        let known = values.compactMap { $0 }
        let end = unit.axisEnd(for: known.max() ?? 0)
        let outage = outages.contains(true) ? "; shaded: reconnecting" : ""
        let range =
            known.isEmpty
            ? "nothing known yet"
            : "\(words(known.min(), "lowest")), \(words(known.max(), "highest"))\(outage)"
        let period = Self.period(outages.count)
        return """
            <figure class="card">
            <figcaption><h2>\(title)</h2><p id="\(id)-now" data-live><b>\(now)</b> \
            <span class="quiet">\(note)</span></p></figcaption>
            <p class="quiet range" id="\(id)-range" data-live>\(range)</p>
            <div class="frame">
            <p class="y quiet" id="\(id)-axis" aria-hidden="true" data-live><span>\(unit.text(end))\
            </span><span>\(unit.text(end / 2))</span><span>0</span></p>
            <div class="plot" tabindex="0" role="group" data-key="\(key)" \
            data-unit="\(unit.rawValue)" aria-label="\(title): arrow keys tell the values">
            <svg id="\(id)-plot" data-live data-points="\(outages.count)" preserveAspectRatio="none" \
            viewBox="0 0 \(columns - 1) 100" role="img" \
            aria-label="\(title), the last \(period). Now \(now). \(range)">
            \(outageAreas)<path class="grid" d="M0 0H\(columns - 1)M0 50H\(columns - 1)"/>\
            \(drawing(to: end))
            <path class="axis" d="M0 100H\(columns - 1)"/></svg>
            <i class="cursor" hidden></i><output class="read" hidden></output>
            </div>
            <p class="x quiet" id="\(id)-time" aria-hidden="true" data-live><span>\(period) ago</span>\
            <span>\(Self.period(outages.count / 2)) ago</span><span>now</span></p>
            </div>
            </figure>
            """
    }

    private func words(_ value: Double?, _ word: String) -> String {
        "\(word) \(value.map(unit.text) ?? Quantity.unknown)"
    }

    private static func period(_ points: Int) -> String {
        let seconds = points * StatusHistory.interval
        return seconds.isMultiple(of: 60) ? "\(seconds / 60) min" : "\(Double(seconds) / 60) min"
    }

    private var columns: Int { max(2, min(Self.columnLimit, outages.count)) }

    /// The columns as ranges of points.
    private func points(of column: Int) -> Range<Int> {
        let count = outages.count
        return (column * count / columns)..<((column + 1) * count / columns)
    }

    private var outageAreas: Markup {
        let isOut = (0..<columns).map { points(of: $0).contains { outages[$0] } }
        return Markup(
            Self.runs(isOut).map { run -> Markup in
                "<rect class=\"out\" x=\"\(run.lowerBound)\" y=\"0\" width=\"\(run.count)\" height=\"100\"/>"
            }
        )
    }

    /// The line with a shade below it; each stretch of known values by itself.
    private func drawing(to end: Double) -> Markup {
        let heights = (0..<columns).map { column in
            points(of: column).lazy.compactMap { values[$0] }.max()
        }
        var path = ""
        var shade = ""
        for run in Self.runs(heights.map { $0 != nil }) {
            let corners = run.map { "\($0) \(Self.height(heights[$0] ?? 0, of: end))" }
                .joined(separator: " ")
            // A lone point would have no length to be drawn.
            path += "M\(corners)" + (run.count == 1 ? "h.1" : "")
            shade += "M\(run.lowerBound) 100L\(corners)L\(run.upperBound - 1) 100Z"
        }
        guard !path.isEmpty else { return "" }
        return """
            <path class="shade" d="\(Markup(ours: shade))"/><path class="line" d="\(Markup(ours: path))"/>
            """
    }

    /// From the top, 0 to 100, with one decimal.
    private static func height(_ value: Double, of end: Double) -> String {
        let tenths = Int((1000 - 1000 * min(1, max(0, value / end))).rounded())
        return tenths.isMultiple(of: 10) ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }

    private static func runs(_ flags: [Bool]) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        for (index, flag) in flags.enumerated() where flag {
            if let last = runs.last, last.upperBound == index {
                runs[runs.count - 1] = last.lowerBound..<index + 1
            } else {
                runs.append(index..<index + 1)
            }
        }
        return runs
    }
}

// MARK: - The page's four

extension StatusPage {
    var graphs: Markup {
        let window = PageWindow(history)
        let stream = status.stream
        let source = status.source
        let isCopying = status.phase == .snapshotting
        let bytes = { (count: Int?) in count.map { Quantity.bytes(Int64($0)) } ?? Quantity.unknown }
        let old = isConnected ? nil : "when last seen"
        let rate =
            isCopying
            ? "\(status.snapshot.rowsPerSecond.map { Quantity.count($0) } ?? Quantity.unknown) rows/s"
            : "\(Quantity.count(stream.changesPerSecond)) changes/s"
        let written = window.points.last??.bytesPerSecond
        let lag = stream.lagMilliseconds.map { Quantity.time(milliseconds: Int64($0)) }
        let all = [
            PageGraph(
                id: "rate",
                title: "Throughput",
                now: rate,
                note: written.map { "\(Quantity.bytes(Int64($0)))/s written" } ?? "",
                unit: .rate,
                key: "changesPerSecond",
                values: window.throughput(isCopying: isCopying),
                outages: window.outages
            ),
            PageGraph(
                id: "lag",
                title: "Lag: commit to durable",
                now: lag ?? Quantity.unknown,
                unit: .milliseconds,
                key: "lagMilliseconds",
                values: window.values(\.lagMilliseconds),
                outages: window.outages
            ),
            PageGraph(
                id: "behind",
                title: "Lag: behind the server",
                now: bytes(source.lagBytes),
                note: source.lagBytes == nil ? "" : old ?? "not confirmed yet",
                unit: .bytes,
                key: "lagBytes",
                values: window.values(\.lagBytes),
                outages: window.outages
            ),
            PageGraph(
                id: "kept",
                title: "WAL kept for the slot",
                now: bytes(source.retainedBytes),
                note: source.retainedBytes == nil ? "" : old ?? source.walStatus ?? "",
                unit: .bytes,
                key: "retainedBytes",
                values: window.values(\.retainedBytes),
                outages: window.outages
            ),
        ]
        return "<div class=\"graphs\">\(Markup(all.map(\.figure)))</div>"
    }
}

/// The part of the history that is drawn: the shortest of four periods that holds all of it.
struct PageWindow {
    private static let periods = [60, 180, 360, 720]

    /// As many as the period has, nil where nothing is known.
    let points: [StatusHistory.Point?]

    init(_ history: StatusHistory) {
        let known = history.points
        let count = Self.periods.first { $0 >= known.count } ?? StatusHistory.limit
        points = [StatusHistory.Point?](repeating: nil, count: count - known.count) + known
    }

    var outages: [Bool] { points.map { $0?.phase == .reconnecting } }

    /// Changes a second, or rows of the snapshot while that is made: these come so much faster that
    /// for an hour after it the changes would be a line on the ground.
    func throughput(isCopying: Bool) -> [Double?] {
        points.map { point in
            guard let point, isCopying == (point.phase == .snapshotting) else { return nil }
            return point.changesPerSecond.map(Double.init)
        }
    }

    func values(_ value: KeyPath<StatusHistory.Point, Int?>) -> [Double?] {
        points.map { $0?[keyPath: value].map(Double.init) }
    }
}
