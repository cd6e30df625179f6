// SPDX-License-Identifier: Apache-2.0
//
// The document of /history: the last hour as JSON, a list a value, from the oldest point to the
// newest. Written by hand: it is numbers only, and four thousand of them. Pure.

import ChangeModel
import Pipeline

/// A history as JSON.
struct HistoryDocument {
    var history: StatusHistory

    /// One object and a line feed; a value that is not known is null.
    var json: String {
        let points = history.points
        let newest = history.newestUnixMilliseconds.map {
            "\"\(UTCTimestamp(unixMilliseconds: $0))\""
        }
        let lists = [
            ("phases", phases(of: points)),
            ("changesPerSecond", Self.rates(points, \.changesPerSecond)),
            ("rowsPerSecond", Self.rates(points, \.rowsPerSecond)),
            ("bytesPerSecond", Self.rates(points, \.bytesPerSecond)),
            ("lagMilliseconds", Self.numbers(points, \.lagMilliseconds)),
            ("lagBytes", Self.numbers(points, \.lagBytes)),
            ("retainedBytes", Self.numbers(points, \.retainedBytes)),
        ]
        var json = "{\"intervalSeconds\":\(StatusHistory.interval),\"newestAt\":\(newest ?? "null")"
        for (name, list) in lists { json += ",\n\"\(name)\":[\(list)]" }
        return json + "}\n"
    }

    /// Each phase with the number of points that it lasted; null where none were taken.
    private func phases(of points: [StatusHistory.Point?]) -> String {
        var runs: [(phase: TaskStatus.Phase?, length: Int)] = []
        for point in points {
            if let last = runs.last, last.phase == point?.phase {
                runs[runs.count - 1].length += 1
            } else {
                runs.append((point?.phase, 1))
            }
        }
        return runs.map { run in
            "[\(run.phase.map { "\"\($0.rawValue)\"" } ?? "null"),\(run.length)]"
        }.joined(separator: ",")
    }

    private static func rates(
        _ points: [StatusHistory.Point?],
        _ value: KeyPath<StatusHistory.Point, Float?>
    ) -> String {
        points.map { point in
            guard let rate = point?[keyPath: value],
                let tenths = Int(exactly: (Double(rate) * 10).rounded())
            else { return "null" }
            return tenths.isMultiple(of: 10) ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
        }.joined(separator: ",")
    }

    private static func numbers(
        _ points: [StatusHistory.Point?],
        _ value: KeyPath<StatusHistory.Point, Int?>
    ) -> String {
        points.map { $0?[keyPath: value].map { "\($0)" } ?? "null" }.joined(separator: ",")
    }
}
