// SPDX-License-Identifier: Apache-2.0
//
// Which keys each section knows, in what form, within which bounds. The defaults stand beside the
// properties of the settings' types, and only there.

import ChangeModel

extension Settings {
    /// Reads the whole tree; nil when something required is missing or faulty.
    static func read(_ root: Section) -> Settings? {
        let task = root.require("task", .taskName)
        let source = root.requireSection("source", Connection.read)
        let tables = root.requireSection("tables", TableSelection.read)
        let snapshot = root.section("snapshot", Snapshot.read)
        let slot = root.section("slot", Slot.read)
        let stream = root.section("stream", Stream.read)
        let batch = root.section("batch", Batch.read)
        let sink = root.requireSection("sink") { Sink.read($0, task: task) }
        let format = root.section("format", ValueFormat.read)
        let http = root.section("http", HTTP.read)
        let log = root.section("log", Log.read)
        let retry = root.section("retry", Retry.read)
        guard let task, let source, let tables, let sink else { return nil }

        var settings = Settings(task: task, source: source, tables: tables, sink: sink)
        if let snapshot { settings.snapshot = snapshot }
        if let slot { settings.slot = slot }
        if let stream { settings.stream = stream }
        if let batch { settings.batch = batch }
        if let format { settings.format = format }
        if let http { settings.http = http }
        if let log { settings.log = log }
        if let retry { settings.retry = retry }
        return settings
    }
}

extension TableSelection {
    static func read(_ section: Section) -> Self? {
        let include = section.list("include", .tableRule, orSection: TableRule.read)
        let exclude = section.list("exclude", .tablePattern)
        section.demand("include", "a list of tables")
        guard let include else { return nil }
        if include.isEmpty { section.fault("include", "must name at least one table") }
        var seen: Set<TablePattern> = []
        var repeated: Set<TablePattern> = []
        for entry in include
        where !seen.insert(entry.pattern).inserted && repeated.insert(entry.pattern).inserted {
            section.fault("include", "\(shown(entry.pattern.description)) stands twice")
        }
        // The first rule that fits counts: one table's columns and filter go before any pattern.
        let exact = include.filter { $0.pattern.exactName != nil }
        let patterns = include.filter { $0.pattern.exactName == nil }
        return Self(include: exact + patterns, exclude: exclude ?? [])
    }
}

extension TableRule {
    static func read(_ section: Section) -> Self? {
        let pattern = section.require("table", .tablePattern)
        let columns = section.list("columns", .identifier)
        let filter = section.take("where", .text)
        let target = section.take("target", .tableName)
        guard let pattern else { return nil }
        if pattern.exactName == nil {
            for key in ["columns", "where", "target"] where section.has(key) {
                section.fault(key, "belongs to one table, not to a pattern")
            }
        }
        if columns?.isEmpty == true { section.fault("columns", "must name at least one column") }
        if let columns, Set(columns).count != columns.count {
            section.fault("columns", "names a column twice")
        }
        return Self(pattern: pattern, columns: columns, filter: filter, target: target)
    }
}

extension Form where Value == TableRule {
    fileprivate static var tableRule: Form {
        Form<TablePattern>.tablePattern.map { pattern throws(Rejection) in
            TableRule(pattern: pattern)
        }
    }
}

extension Settings.Snapshot {
    static func read(_ section: Section) -> Self? {
        var snapshot = Self()
        section.take("mode", .choice, into: &snapshot.mode)
        section.take("workers", .integer(in: 1...64), into: &snapshot.workers)
        return snapshot
    }
}

extension Settings.Stream {
    static func read(_ section: Section) -> Self? {
        var stream = Self()
        section.take("onUnsupportedDDL", .choice, into: &stream.onUnsupportedDDL)
        section.take("onTruncate", .choice, into: &stream.onTruncate)
        stream.acceptDDL = section.list("acceptDDL", .lsn, allowsSingle: true) ?? []
        return stream
    }
}

extension Settings.Batch {
    static func read(_ section: Section) -> Self? {
        var batch = Self()
        section.take("rows", .integer(in: 1...1_000_000), into: &batch.rows)
        section.take("bytes", .size(in: (64 << 10)...(1 << 30)), into: &batch.bytes)
        section.take("delay", .duration(in: .zero ... .seconds(60)), into: &batch.delay)
        return batch
    }
}

extension ValueFormat {
    static func read(_ section: Section) -> Self? {
        var format = Self()
        section.take("decimals", .choice, into: &format.decimals)
        section.take("temporal", .choice, into: &format.temporal)
        section.take("binary", .choice, into: &format.binary)
        return format
    }
}

extension Settings.Log {
    static func read(_ section: Section) -> Self? {
        var log = Self()
        section.take("level", .choice, into: &log.level)
        section.take("format", .choice, into: &log.format)
        return log
    }
}

extension Settings.Retry {
    static func read(_ section: Section) -> Self? {
        var retry = Self()
        let bounds = Duration.zero ... .seconds(365 * 86_400)
        section.take("for", Form<Duration>.duration(in: bounds).or("forever"), into: &retry.limit)
        return retry
    }
}
