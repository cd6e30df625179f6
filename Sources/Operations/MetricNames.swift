// SPDX-License-Identifier: Apache-2.0
//
// Every metric walrelay exposes: walrelay_<noun>_<unit>[_total]. Dashboards and alerts are built on
// these names; a rename is a breaking change. All carry the label `task`.

/// One metric: its name, type and explanation.
struct Metric: Sendable {
    enum Kind: String, Sendable {
        case counter
        case gauge
    }

    var name: String
    var kind: Kind
    var help: String

    init(_ name: String, _ kind: Kind, _ help: String) {
        self.name = name
        self.kind = kind
        self.help = help
    }
}

enum MetricNames {
    static let buildInfo = Metric(
        "walrelay_build_info",
        .gauge,
        "Always 1; the version is a label."
    )
    static let phase = Metric(
        "walrelay_task_phase",
        .gauge,
        "1 for the phase the task is in, 0 for the others."
    )
    static let stalled = Metric(
        "walrelay_task_stalled",
        .gauge,
        "1 when a part that should move has been silent too long."
    )
    static let silence = Metric(
        "walrelay_part_silence_seconds",
        .gauge,
        "Time since a part at work last made progress."
    )

    static let changes = Metric(
        "walrelay_changes_total",
        .counter,
        "Changes made durable in the sink."
    )
    static let transactions = Metric(
        "walrelay_transactions_total",
        .counter,
        "Transactions made durable in the sink."
    )
    static let received = Metric(
        "walrelay_received_lsn_bytes",
        .gauge,
        "WAL position received from the server."
    )
    static let durable = Metric(
        "walrelay_durable_lsn_bytes",
        .gauge,
        "WAL position up to which the sink is durable."
    )
    static let confirmed = Metric(
        "walrelay_confirmed_lsn_bytes",
        .gauge,
        "WAL position that the slot has confirmed."
    )
    static let lagBytes = Metric(
        "walrelay_lag_bytes",
        .gauge,
        "WAL from the confirmed position to the server's end of WAL."
    )
    static let lagSeconds = Metric(
        "walrelay_lag_seconds",
        .gauge,
        "Time from commit in the source to durable in the sink."
    )
    static let retained = Metric(
        "walrelay_retained_wal_bytes",
        .gauge,
        "WAL that the server keeps because of the slot."
    )
    static let walStatus = Metric(
        "walrelay_slot_wal_status",
        .gauge,
        "1 for the slot's wal_status, 0 for the others (13 and later)."
    )
    static let slotSafe = Metric(
        "walrelay_slot_safe_wal_bytes",
        .gauge,
        "WAL that may still be written before the slot is lost (13 and later, with a limit)."
    )
    static let slotBound = Metric(
        "walrelay_slot_bound_bytes",
        .gauge,
        "What the slot may hold back, by bound: warning, stop, and limit of the server."
    )
    static let slotForecast = Metric(
        "walrelay_slot_forecast_seconds",
        .gauge,
        "Time until the slot reaches the next bound; absent while what it holds back does not grow."
    )
    static let slotWarning = Metric(
        "walrelay_slot_retention_warning",
        .gauge,
        "1 while what the slot holds back is warned of."
    )
    static let walRate = Metric(
        "walrelay_source_wal_bytes_per_second",
        .gauge,
        "WAL that the source writes, over the last five minutes."
    )

    static let lastCommit = Metric(
        "walrelay_last_commit_timestamp_seconds",
        .gauge,
        "When the sink last made something durable, in Unix time."
    )
    static let sourceUp = Metric(
        "walrelay_source_up",
        .gauge,
        "1 when the source answered the last time it was asked, 0 when not."
    )
    static let sourceBlocked = Metric(
        "walrelay_source_blocked_seconds_total",
        .counter,
        "Time in which reading the source waited for the sink."
    )

    static let snapshotTables = Metric(
        "walrelay_snapshot_tables",
        .gauge,
        "Tables of the snapshot by state."
    )
    static let snapshotRows = Metric(
        "walrelay_snapshot_copied_rows",
        .gauge,
        "Rows that the snapshot has read of a table under way."
    )
    static let snapshotEstimate = Metric(
        "walrelay_snapshot_estimated_rows",
        .gauge,
        "Rows that the planner expects in a table under way."
    )
    static let snapshotBytes = Metric(
        "walrelay_snapshot_copied_bytes",
        .gauge,
        "Bytes that the snapshot has read of a table under way."
    )

    static let snapshotProgress = Metric(
        "walrelay_snapshot_progress_ratio",
        .gauge,
        "Share of the snapshot's expected rows that is read, from 0 to 1."
    )
    static let snapshotRemaining = Metric(
        "walrelay_snapshot_remaining_seconds",
        .gauge,
        "Time that the rest of the snapshot takes at the pace it has had."
    )

    static let sinkBusy = Metric(
        "walrelay_sink_busy_seconds_total",
        .counter,
        "Time that the sink spent in writing and committing."
    )
    static let sinkWaiting = Metric(
        "walrelay_sink_waiting",
        .gauge,
        "1 while the sink waits for what is to mend itself, such as a full disk."
    )
    static let sinkWaited = Metric(
        "walrelay_sink_waited_seconds_total",
        .counter,
        "Time that the sink waited before it tried the same again."
    )
    static let sinkRetries = Metric(
        "walrelay_sink_retries_total",
        .counter,
        "Times that the sink tried the same again."
    )
    static let sinkCommits = Metric(
        "walrelay_sink_commits_total",
        .counter,
        "Commits made by the sink."
    )
    static let sinkBytes = Metric(
        "walrelay_sink_written_bytes_total",
        .counter,
        "Bytes written by the sink."
    )
    static let sinkRows = Metric(
        "walrelay_sink_rows_total",
        .counter,
        "Rows that a postgresql sink has inserted, updated and deleted, changes folded by key."
    )
    static let sinkSurprises = Metric(
        "walrelay_sink_surprises_total",
        .counter,
        "Rows that the target had and should not have had, or the other way round."
    )
    static let sinkDeadLetters = Metric(
        "walrelay_sink_dead_letters_total",
        .counter,
        "Changes that the sink's server refused and that went into the dead letters."
    )
    static let sinkRecords = Metric(
        "walrelay_sink_records_total",
        .counter,
        "Records that a kafka sink has written, those of the checkpoint left out."
    )
    static let sinkQueueMessages = Metric(
        "walrelay_sink_queue_messages",
        .gauge,
        "Records that wait in librdkafka until the brokers have acknowledged them."
    )
    static let sinkQueueBytes = Metric(
        "walrelay_sink_queue_bytes",
        .gauge,
        "Bytes of the records that wait in librdkafka."
    )
    static let sinkBrokerRTT = Metric(
        "walrelay_sink_broker_rtt_seconds",
        .gauge,
        "Time that brokers took to answer, of late, on average."
    )
    static let sinkDelivery = Metric(
        "walrelay_sink_delivery_seconds",
        .gauge,
        "Time from a record's queueing to its acknowledgement, of late, on average."
    )
    static let sinkBrokersUp = Metric(
        "walrelay_sink_brokers_up",
        .gauge,
        "Brokers that a kafka sink is connected to."
    )
    static let sinkBrokersKnown = Metric(
        "walrelay_sink_brokers_known",
        .gauge,
        "Brokers that the cluster names."
    )
    static let certificateExpiry = Metric(
        "walrelay_certificate_expiry_timestamp_seconds",
        .gauge,
        "When a certificate of a connection ceases to be valid, in Unix time; the first of several."
    )
    static let reconnects = Metric(
        "walrelay_reconnects_total",
        .counter,
        "Times the server or the sink was lost."
    )
    static let errors = Metric("walrelay_errors_total", .counter, "Errors recorded.")
    static let errorsByCode = Metric(
        "walrelay_errors_by_code_total",
        .counter,
        "Errors recorded by their code; beyond forty codes the rest is other."
    )
    static let lastError = Metric(
        "walrelay_last_error_timestamp_seconds",
        .gauge,
        "When an error was recorded last, in Unix time."
    )

    static let residentMemory = Metric(
        "walrelay_resident_memory_bytes",
        .gauge,
        "Memory of the process that is resident."
    )
    static let cpu = Metric(
        "walrelay_cpu_seconds_total",
        .counter,
        "Processor time the process has used."
    )
    static let openFiles = Metric(
        "walrelay_open_fds",
        .gauge,
        "File descriptors that the process has open."
    )
    static let maxFiles = Metric(
        "walrelay_max_fds",
        .gauge,
        "File descriptors that the process may have open."
    )
    static let startTime = Metric(
        "walrelay_start_time_seconds",
        .gauge,
        "When the process started, in Unix time."
    )
}
