// SPDX-License-Identifier: Apache-2.0
//
// The records of one channel on their way into the table. A batch is a transaction. A COPY takes
// its rows while the batch is being filled; of statements the server works at one while the next
// is gathered, so at most two are kept. A batch that is refused for the sake of a row is tried
// again in parts, until what is left out are the bad rows alone.

import ChangeModel
import LibPQ
import Settings

/// Writes records by a connection of its own.
final class PostgresWriter: RecordWriter {
    /// Records from this size on are batches by themselves, and not copied.
    private static let largeRecord = 1 << 20

    private let plan: WritePlan
    private let session: WriterSession
    private let wire: any BatchWire
    /// The way of records that are batches by themselves.
    private let largeWire: any BatchWire
    private var filling: KeptRecords
    private var sent: KeptRecords
    private var isAwaiting = false
    /// How many records of which way are with the server whose fate is not known yet.
    private var inFlight: (count: Int, wire: any BatchWire)?
    /// How far the batch being filled may grow before more of it is handed on.
    private var streamMark: Int

    init(
        _ plan: WritePlan,
        server: ConnectionParameters,
        shape: RecordShape,
        context: JobContext
    ) throws {
        self.plan = plan
        streamMark = plan.streamBytes
        filling = KeptRecords(capacity: plan.batchBytes)
        sent = KeptRecords(capacity: plan.mode == .copy ? 0 : plan.batchBytes)
        session = try WriterSession(plan, server: server, shape: shape, context: context)
        wire =
            plan.mode == .copy
            ? CopyWire(plan, session) : try StatementWire(plan, session)
        if let statement = plan.largeStatement {
            var large = plan
            (large.statement, large.format) = (statement, .text)
            largeWire = CopyWire(large, session)
        } else {
            largeWire = wire
        }
    }

    func take(_ record: Record) throws {
        let isFull =
            filling.count >= plan.batchRows
            || filling.byteCount + record.count > plan.batchBytes
        if isFull || record.count >= Self.largeRecord, !filling.isEmpty { try close() }
        guard record.count < Self.largeRecord else { return try writeAlone(record) }
        filling.append(record)
        if filling.byteCount >= streamMark { try stream() }
    }

    func flush() throws {
        if !filling.isEmpty { try close() }
        try settleSent()
        try session.makeDurable()
        session.reportKeptBack()
    }

    func abandon() {
        session.abandon(isBusy: inFlight != nil || streamMark > plan.streamBytes)
        // A batch that was committed before the server heard of it is one that was written.
        guard let batch = inFlight, let taken = batch.wire.outcome() else { return }
        session.count(taken, of: batch.count)
    }

    /// Hands on what the batch holds by now.
    private func stream() throws {
        try settleSent()
        do throws(PostgresError) {
            try filling.withRun { run throws(PostgresError) in try wire.stream(run) }
            streamMark = filling.byteCount + plan.streamBytes
        } catch {
            streamMark = plan.streamBytes
            try filling.withRun { try settle($0, after: error, by: wire) }
            filling.removeAll()
        }
    }

    /// Ends the batch that is being filled.
    private func close() throws {
        if plan.mode == .copy { try finishCopy() } else { try sendOff() }
    }

    /// Waits for the end of the batch: nearly all of it is with the server already, and another one
    /// would have to be kept meanwhile.
    private func finishCopy() throws {
        defer { streamMark = plan.streamBytes }
        do throws(PostgresError) {
            try filling.withRun { run throws(PostgresError) in
                try attempt(run, run.all, by: wire)
            }
        } catch {
            try filling.withRun { try settle($0, after: error, by: wire) }
        }
        filling.removeAll()
    }

    /// Sends the batch, and has the server work at it while the next one is gathered.
    private func sendOff() throws {
        try settleSent()
        swap(&filling, &sent)
        streamMark = plan.streamBytes
        do throws(PostgresError) {
            try sent.withRun { run throws(PostgresError) in try wire.send(run, run.all) }
            isAwaiting = true
            inFlight = (sent.count, wire)
        } catch {
            try sent.withRun { try settle($0, after: error, by: wire) }
            sent.removeAll()
        }
    }

    /// Waits for the batch that was sent.
    private func settleSent() throws {
        guard isAwaiting else { return }
        isAwaiting = false
        do throws(PostgresError) {
            session.count(try receive(by: wire), of: sent.count)
        } catch {
            try sent.withRun { try settle($0, after: error, by: wire) }
        }
        sent.removeAll()
    }

    private func writeAlone(_ record: Record) throws {
        try settleSent()
        try withUnsafePointer(to: record.count) { end in
            let ends = UnsafeBufferPointer(start: end, count: 1)
            let run = RecordRun(bytes: record, ends: ends)
            do throws(PostgresError) {
                try attempt(run, run.all, by: largeWire)
            } catch {
                try settle(run, after: error, by: largeWire)
            }
        }
    }

    /// Writes a range as a transaction and waits for its end.
    private func attempt(
        _ run: RecordRun,
        _ range: Range<Int>,
        by wire: any BatchWire
    ) throws(PostgresError) {
        try wire.send(run, range)
        inFlight = (range.count, wire)
        session.count(try receive(by: wire), of: range.count)
    }

    /// Waits for the end of what is in flight; returns how many rows the server took.
    private func receive(by wire: any BatchWire) throws(PostgresError) -> Int {
        do throws(PostgresError) {
            let taken = try wire.receive()
            inFlight = nil
            return taken
        } catch {
            if error.kind == .server { inFlight = nil }
            throw error
        }
    }

    /// Writes what can be written of a batch that was refused, and reports the rest.
    private func settle(
        _ run: RecordRun,
        after failure: PostgresError,
        by wire: any BatchWire
    ) throws {
        var search = BadRowSearch(count: run.count)
        var failure: PostgresError? = failure
        var conflicts = 0
        while let range = search.range {
            if let error = failure {
                failure = nil
                guard session.isPassing(error, conflicts) else {
                    guard error.blamesRow else { throw session.fault(error) }
                    let place = CopyContext(error).row.map { range.lowerBound + $0 }
                    if let bad = search.refused(at: wire.namesRows ? place : nil) {
                        try session.report(run[bad], error)
                    }
                    conflicts = 0
                    continue
                }
                conflicts += 1
                try session.pause(conflicts)
            }
            do throws(PostgresError) {
                try attempt(run, range, by: wire)
                search.succeeded()
                conflicts = 0
            } catch {
                failure = error
            }
        }
    }
}
