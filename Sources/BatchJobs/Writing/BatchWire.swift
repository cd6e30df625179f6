// SPDX-License-Identifier: Apache-2.0
//
// The two ways of records to the server: COPY, which takes rows while the batch is still being
// filled, and a prepared statement with an array for each column. A batch is sent first and its
// end awaited later, so that the server works while the next one is gathered.

import ChangeModel
import Glibc
import LibPQ
import Settings

/// A way of batches to the server; one batch at a time.
protocol BatchWire: AnyObject {
    /// Whether an error says which row of the batch it lies in.
    var namesRows: Bool { get }

    /// Hands on what of a batch that is still being filled is not with the server yet.
    ///
    /// Only for a plan with `streamBytes`.
    func stream(_ run: RecordRun) throws(PostgresError)

    /// Sends a range of records as a transaction, or what is left of it after `stream`.
    func send(_ run: RecordRun, _ range: Range<Int>) throws(PostgresError)

    /// Waits for the transaction's end; returns how many rows the server took.
    func receive() throws(PostgresError) -> Int

    /// How many rows the server took of a transaction that was cancelled too late; nil where it
    /// was not, or where nothing comes of the server any more.
    ///
    /// Blocks for a moment; the connection is of no use after that.
    func outcome() -> Int?
}

/// How long the server may take for a batch, or take no more bytes of it.
let batchLimit: Duration = .seconds(3600)

/// How long the server may take to say what became of a transaction that was cancelled.
private let outcomeLimit: Duration = .seconds(2)

/// COPY … FROM STDIN, one for each batch.
final class CopyWire: BatchWire {
    private static let header: [UInt8] =
        Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0x00] + [UInt8](repeating: 0, count: 8)
    private static let trailer: [UInt8] = [0xFF, 0xFF]

    private let plan: WritePlan
    private let session: WriterSession
    private var isRunning = false
    /// Bytes of the running COPY that are with the server.
    private var streamed = 0
    let namesRows = true

    init(_ plan: WritePlan, _ session: WriterSession) {
        self.plan = plan
        self.session = session
    }

    func stream(_ run: RecordRun) throws(PostgresError) {
        try write(run.bytes)
    }

    func send(_ run: RecordRun, _ range: Range<Int>) throws(PostgresError) {
        try write(run[range])
        do throws(PostgresError) {
            if plan.format == .binary { try put(Self.trailer) }
            try session.connection.startEndingCopyIn(within: batchLimit)
        } catch {
            reset()
            throw error
        }
        reset()
    }

    func receive() throws(PostgresError) -> Int {
        try session.connection.finishCopy(within: batchLimit).affectedRows
    }

    func outcome() -> Int? {
        guard let result = session.connection.lastOutcome(within: outcomeLimit) else { return nil }
        return result.affectedRows
    }

    /// Writes what of the bytes is not written yet; starts the COPY where none runs.
    private func write(_ bytes: UnsafeRawBufferPointer) throws(PostgresError) {
        do throws(PostgresError) {
            if !isRunning {
                try session.connection.beginCopyIn(plan.statement, within: batchLimit)
                isRunning = true
                if plan.format == .binary { try put(Self.header) }
            }
            // In slices: libpq keeps the memory that it needed for what it was given at once.
            while streamed < bytes.count {
                let end = min(bytes.count, streamed + WritePlan.writeBytes)
                let slice = UnsafeRawBufferPointer(rebasing: bytes[streamed..<end])
                try session.connection.copyIn(slice, idleLimit: batchLimit)
                streamed = end
            }
        } catch {
            reset()
            throw error
        }
    }

    private func put(_ bytes: [UInt8]) throws(PostgresError) {
        var failure: PostgresError?
        bytes.withUnsafeBytes { bytes in
            do throws(PostgresError) {
                try session.connection.copyIn(bytes, idleLimit: batchLimit)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    private func reset() {
        isRunning = false
        streamed = 0
    }
}

/// A prepared statement that takes a text[] for each column.
final class StatementWire: BatchWire {
    private static let name = "walrelay_batch"

    private let plan: WritePlan
    private let session: WriterSession
    private var arrays: ColumnArrays
    let namesRows = false

    init(_ plan: WritePlan, _ session: WriterSession) throws {
        self.plan = plan
        self.session = session
        arrays = ColumnArrays(width: plan.columns.count)
        do throws(PostgresError) {
            try plan.prepare(as: Self.name, on: session.connection)
        } catch {
            throw session.fault(error)
        }
    }

    func stream(_: RecordRun) throws(PostgresError) {}

    func send(_ run: RecordRun, _ range: Range<Int>) throws(PostgresError) {
        guard arrays.fill(run, range) else { throw WriterFault.malformed }
        try arrays.startExecuting(Self.name, on: session.connection, within: batchLimit)
    }

    func receive() throws(PostgresError) -> Int {
        taken(try session.connection.finishExecuting(within: batchLimit))
    }

    func outcome() -> Int? {
        guard let result = session.connection.lastOutcome(within: outcomeLimit) else { return nil }
        return taken(result)
    }

    private func taken(_ result: borrowing QueryResult) -> Int {
        plan.mode == .update ? Int(result.integer(0, 0) ?? 0) : result.affectedRows
    }
}
