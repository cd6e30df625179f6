// SPDX-License-Identifier: Apache-2.0
//
// From the status board to the Prometheus text of /metrics. Pure: everything it shows is passed in.

import Pipeline

/// One scrape.
struct Metrics {
    var status: TaskStatus
    var counters: StatusBoard.Counters
    var blocked: Duration
    var silences: [(part: StatusBoard.Part, seconds: Double)]
    var isStalled: Bool
    var process: ProcessFacts

    /// Tables that are shown one by one; as many as there may be workers.
    static let tableLimit = 64

    /// The exposition, in the order of MetricNames.
    var text: String {
        var out = PrometheusText(task: status.task)
        out.add(MetricNames.buildInfo, [([("version", status.version)], 1)])
        let phases = TaskStatus.Phase.allCases.map { phase in
            (
                labels: [(name: "phase", value: phase.rawValue)],
                value: phase == status.phase ? 1.0 : 0
            )
        }
        out.add(MetricNames.phase, phases)
        out.add(MetricNames.stalled, isStalled ? 1 : 0)
        out.add(
            MetricNames.silence,
            silences.map { ([("part", $0.part.rawValue)], $0.seconds) }
        )
        addStream(to: &out)
        out.add(MetricNames.sourceUp, counters.isSourceUp.map { $0 ? 1 : 0 })
        out.add(MetricNames.sourceBlocked, blocked / .seconds(1))
        addSnapshot(to: &out)
        addSink(to: &out)
        out.add(MetricNames.sinkCommits, detail("commits"))
        out.add(MetricNames.sinkBytes, detail("bytesWritten"))
        addRows(to: &out)
        addBrokers(to: &out)
        addCertificates(to: &out)
        out.add(MetricNames.reconnects, Double(counters.reconnects))
        out.add(MetricNames.errors, Double(counters.errors))
        out.add(
            MetricNames.errorsByCode,
            counters.errorsByCode.sorted { $0.key < $1.key }
                .map { ([("code", $0.key)], Double($0.value)) }
        )
        out.add(MetricNames.lastError, Self.seconds(counters.lastError))
        out.add(MetricNames.residentMemory, process.residentBytes.map(Double.init))
        out.add(MetricNames.cpu, process.cpuSeconds)
        out.add(MetricNames.openFiles, process.openFiles.map(Double.init))
        out.add(MetricNames.maxFiles, process.maxFiles.map(Double.init))
        out.add(MetricNames.startTime, process.startSeconds)
        return out.text
    }

    private func addStream(to out: inout PrometheusText) {
        out.add(MetricNames.changes, Double(status.stream.changes))
        out.add(MetricNames.transactions, Double(status.stream.transactions))
        out.add(MetricNames.received, Self.position(status.stream.receivedLSN))
        out.add(MetricNames.durable, Self.position(status.stream.durableLSN))
        out.add(MetricNames.confirmed, Self.position(status.source.confirmedFlushLSN))
        out.add(MetricNames.lagBytes, status.source.lagBytes.map(Double.init))
        out.add(MetricNames.lagSeconds, status.stream.lagMilliseconds.map { Double($0) / 1000 })
        out.add(MetricNames.retained, status.source.retainedBytes.map(Double.init))
        out.add(MetricNames.lastCommit, Self.seconds(counters.lastCommit))
        addSlot(to: &out)
    }

    private func addSink(to out: inout PrometheusText) {
        out.add(MetricNames.sinkBusy, counters.sinkBusy / .seconds(1))
        out.add(MetricNames.sinkWaiting, counters.isSinkWaiting ? 1 : 0)
        out.add(MetricNames.sinkWaited, counters.sinkWaited / .seconds(1))
        out.add(MetricNames.sinkRetries, Double(counters.sinkRetries))
    }

    private func addSlot(to out: inout PrometheusText) {
        if let current = status.source.walStatus {
            let known = ["reserved", "extended", "unreserved", "lost"]
            out.add(
                MetricNames.walStatus,
                (known.contains(current) ? known : known + [current]).map {
                    ([("status", $0)], $0 == current ? 1 : 0)
                }
            )
        }
        guard let retention = status.source.retention else { return }
        let bounds = [
            ("warning", retention.warningBytes), ("stop", retention.stopBytes),
            ("limit", retention.limitBytes),
        ]
        out.add(
            MetricNames.slotBound,
            bounds.compactMap { name, bytes in bytes.map { ([("bound", name)], Double($0)) } }
        )
        out.add(MetricNames.slotSafe, retention.safeBytes.map(Double.init))
        out.add(MetricNames.slotForecast, retention.forecastSeconds.map(Double.init))
        out.add(MetricNames.slotWarning, retention.warning == nil ? 0 : 1)
        out.add(MetricNames.walRate, retention.walBytesPerSecond.map(Double.init))
    }

    private func addSnapshot(to out: inout PrometheusText) {
        let tables = status.snapshot.tables
        guard !tables.isEmpty else { return }
        let states = TaskStatus.Snapshot.Table.State.allCases.map { state in
            (
                labels: [(name: "state", value: state.rawValue)],
                value: Double(tables.count { $0.state == state })
            )
        }
        out.add(MetricNames.snapshotTables, states)
        out.add(MetricNames.snapshotProgress, status.snapshot.share)
        out.add(MetricNames.snapshotRemaining, status.snapshot.secondsLeft.map(Double.init))
        // Of ten thousand tables nobody draws ten thousand lines, and each is kept for months.
        let copying = tables.filter { $0.state == .copying }.prefix(Self.tableLimit)
        out.add(
            MetricNames.snapshotRows,
            copying.map { ([("table", $0.table)], Double($0.rowsCopied)) }
        )
        out.add(
            MetricNames.snapshotEstimate,
            copying.compactMap { table in
                table.rowsEstimated.map { ([("table", table.table)], Double($0)) }
            }
        )
        out.add(
            MetricNames.snapshotBytes,
            copying.map { ([("table", $0.table)], Double($0.bytesCopied)) }
        )
    }

    /// What only a postgresql sink counts.
    private func addRows(to out: inout PrometheusText) {
        func samples(
            _ label: String,
            _ details: [(String, String)]
        ) -> [(labels: [(name: String, value: String)], value: Double)] {
            details.compactMap { value, name in detail(name).map { ([(label, value)], $0) } }
        }
        out.add(
            MetricNames.sinkRows,
            samples(
                "op",
                [("insert", "rowsInserted"), ("update", "rowsUpdated"), ("delete", "rowsDeleted")]
            )
        )
        out.add(
            MetricNames.sinkSurprises,
            samples(
                "kind",
                [
                    ("overwritten", "rowsOverwritten"), ("restored", "rowsRestored"),
                    ("missing", "rowsMissingOnDelete"),
                ]
            )
        )
        out.add(MetricNames.sinkDeadLetters, detail("deadLetters"))
    }

    /// What only a kafka sink knows.
    private func addBrokers(to out: inout PrometheusText) {
        func seconds(_ name: String) -> Double? { detail(name).map { $0 / 1_000_000 } }
        out.add(MetricNames.sinkRecords, detail("recordsWritten"))
        out.add(MetricNames.sinkQueueMessages, detail("queueMessages"))
        out.add(MetricNames.sinkQueueBytes, detail("queueBytes"))
        out.add(MetricNames.sinkBrokerRTT, seconds("rttMicroseconds"))
        out.add(MetricNames.sinkDelivery, seconds("deliveryMicroseconds"))
        out.add(MetricNames.sinkBrokersUp, detail("brokersUp"))
        out.add(MetricNames.sinkBrokersKnown, detail("brokersKnown"))
    }

    private func addCertificates(to out: inout PrometheusText) {
        let groups = Dictionary(grouping: status.certificates ?? []) {
            [$0.server.rawValue, $0.certificate]
        }
        out.add(
            MetricNames.certificateExpiry,
            groups.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { key, group in
                (
                    labels: [("server", key[0]), ("certificate", key[1])],
                    value: Double(group.map(\.notAfterSeconds).min() ?? 0)
                )
            }
        )
    }

    /// Microseconds of Unix time in seconds.
    private static func seconds(_ microseconds: Int64?) -> Double? {
        microseconds.map { Double($0) / 1_000_000 }
    }

    private func detail(_ name: String) -> Double? {
        status.sink.number(name).map(Double.init)
    }

    /// A position as the count of bytes since the beginning of WAL.
    static func position(_ text: String?) -> Double? {
        guard let parts = text?.split(separator: "/", omittingEmptySubsequences: false),
            parts.count == 2, let high = UInt32(parts[0], radix: 16),
            let low = UInt32(parts[1], radix: 16)
        else { return nil }
        return Double(UInt64(high) << 32 | UInt64(low))
    }
}
