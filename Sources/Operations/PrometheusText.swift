// SPDX-License-Identifier: Apache-2.0
//
// The text exposition format 0.0.4: HELP and TYPE once a metric, then its samples. Names come from
// MetricNames and are trusted; label values come from the database and are escaped.

/// Builds one exposition.
struct PrometheusText {
    private(set) var text = ""
    private let common: String

    /// Creates an exposition in which every sample carries the label `task`.
    init(task: String) {
        common = "task=\"\(Self.escapeLabel(task))\""
    }

    /// Appends a metric with one sample; nothing when the value is not known.
    mutating func add(_ metric: Metric, _ value: Double?) {
        guard let value else { return }
        begin(metric)
        sample(metric, [], value)
    }

    /// Appends a metric with a sample for each set of labels; nothing when there are none.
    mutating func add(
        _ metric: Metric,
        _ samples: [(labels: [(name: String, value: String)], value: Double)]
    ) {
        guard !samples.isEmpty else { return }
        begin(metric)
        for entry in samples { sample(metric, entry.labels, entry.value) }
    }

    private mutating func begin(_ metric: Metric) {
        text += "# HELP \(metric.name) \(Self.escapeHelp(metric.help))\n"
        text += "# TYPE \(metric.name) \(metric.kind.rawValue)\n"
    }

    private mutating func sample(
        _ metric: Metric,
        _ labels: [(name: String, value: String)],
        _ value: Double
    ) {
        let more = labels.map { ",\($0.name)=\"\(Self.escapeLabel($0.value))\"" }.joined()
        text += "\(metric.name){\(common)\(more)} \(Self.number(value))\n"
    }

    static func escapeLabel(_ value: String) -> String {
        var escaped = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    private static func escapeHelp(_ help: String) -> String {
        help.unicodeScalars.reduce(into: "") { escaped, scalar in
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
    }

    /// Whole numbers without exponent or fraction, so that positions stay readable.
    static func number(_ value: Double) -> String {
        if let whole = Int64(exactly: value) { return String(whole) }
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return String(value)
    }
}
