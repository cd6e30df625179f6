// SPDX-License-Identifier: Apache-2.0
//
// A source and a target in memory, with what a test wants to happen to them.

import ChangeModel
import LibPQ
import Logging
import Settings
import Synchronization

@testable import BatchJobs

/// Slices of records in memory.
final class MemorySource: RecordSource {
    let slices: [[String]]
    let onRead: @Sendable (String) throws -> Void
    let closed = Atomic(0)
    let opened = Atomic(0)

    init(_ slices: [[String]], onRead: @escaping @Sendable (String) throws -> Void = { _ in }) {
        self.slices = slices
        self.onRead = onRead
    }

    var shape: RecordShape {
        RecordShape(
            columns: [RecordColumn(name: "v", typeOID: 25, typeName: "text")],
            allowsBinary: false
        )
    }

    var plan: [String] { slices.indices.map { "slice \($0)" } }
    var warnings: [String] { ["look here"] }
    var sliceCount: Int { slices.count }
    var estimatedRecords: Int? { slices.map(\.count).reduce(0, +) }

    func open(_ format: CopyFormat) throws -> any RecordReader {
        opened.add(1, ordering: .relaxed)
        return MemoryReader(self)
    }

    func close() { closed.add(1, ordering: .relaxed) }
}

private final class MemoryReader: RecordReader {
    private let source: MemorySource

    init(_ source: MemorySource) {
        self.source = source
    }

    func read(
        _ slice: Int,
        dirty: (DirtyRecord) throws -> Void,
        _ body: (Record) throws -> Void
    ) throws {
        for text in source.slices[slice] {
            try source.onRead(text)
            if text.hasPrefix("bad read") {
                try dirty(DirtyRecord(side: .reader, sqlState: "", reason: text, values: [text]))
            } else {
                try Array("\(text)\n".utf8).withUnsafeBytes { try body($0) }
            }
        }
    }
}

/// Keeps what is flushed; refuses records that begin with "bad".
final class MemoryTarget: RecordTarget {
    let context: JobContext
    let batch: Int
    let written = Mutex<[String]>([])
    let events = Mutex<[String]>([])
    let onBegin: @Sendable () throws -> Void

    init(
        _ context: JobContext,
        batch: Int = 10,
        onBegin: @escaping @Sendable () throws -> Void = {}
    ) {
        self.context = context
        self.batch = batch
        self.onBegin = onBegin
    }

    let format = CopyFormat.text
    var plan: [String] { ["keep them"] }
    var warnings: [String] { [] }

    func note(_ event: String) { events.withLock { $0.append(event) } }

    func begin() throws {
        note("begin")
        try onBegin()
    }

    func open() throws -> any RecordWriter { MemoryWriter(self) }

    func finish() throws { note("finish") }
}

private final class MemoryWriter: RecordWriter {
    private let target: MemoryTarget
    private var rows: [String] = []

    init(_ target: MemoryTarget) {
        self.target = target
    }

    func take(_ record: Record) throws {
        rows.append(CopyText.values(of: record)[0] ?? "NULL")
        if rows.count == target.batch { try flush() }
    }

    func flush() throws {
        let batch = rows
        rows = []
        for row in batch where row.hasPrefix("bad") {
            try target.context.report(
                DirtyRecord(side: .writer, sqlState: "23505", reason: "refused", values: [row])
            )
        }
        let good = batch.filter { !$0.hasPrefix("bad") }
        target.written.withLock { $0 += good }
        target.context.counters.recordsWritten.add(good.count, ordering: .relaxed)
    }

    func abandon() {
        rows = []
        target.note("abandon")
    }
}

/// A job between the two, and what became of it.
final class MemoryJob: Sendable {
    let source: MemorySource
    let runner: JobRunner

    init(
        _ slices: [[String]],
        channels: Int = 1,
        change: (inout Job) -> Void = { _ in },
        onRead: @escaping @Sendable (String) throws -> Void = { _ in },
        onBegin: @escaping @Sendable () throws -> Void = {}
    ) {
        var job = Job(
            reader: .stream(.init(columns: [], rowsPerChannel: 0)),
            writer: .stream(.init())
        )
        job.speed.channels = channels
        change(&job)
        let source = MemorySource(slices, onRead: onRead)
        self.source = source
        let place = Place()
        self.place = place
        runner = JobRunner(
            job,
            ends: JobEnds(
                source: { _, _ in source },
                target: { _, context in
                    let target = MemoryTarget(context, onBegin: onBegin)
                    place.target.withLock { $0 = target }
                    return target
                }
            ),
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    private final class Place: Sendable {
        let target = Mutex<MemoryTarget?>(nil)
    }

    private let place: Place

    var written: [String] {
        place.target.withLock { $0 }.map { target in target.written.withLock { $0 } } ?? []
    }

    var events: [String] {
        place.target.withLock { $0 }.map { target in target.events.withLock { $0 } } ?? []
    }
}
