// SPDX-License-Identifier: Apache-2.0
//
// The two ends of a job. A source is cut into slices, which channels take one after the other; each
// channel is one thread with a reader and a writer of its own. A reader lends each record to the
// closure, which hands it to the writer: there is no queue between them, so whoever is slower
// holds the other up, through the sockets in the end.

public import ChangeModel

/// Where a job's records come from; used from all channels' threads.
public protocol RecordSource: Sendable {
    /// The columns of the records.
    var shape: RecordShape { get }

    /// What will be read, a line each, for `--dry-run`: slices and their statements.
    var plan: [String] { get }

    /// Sentences for the operator, found while the source was looked at.
    var warnings: [String] { get }

    /// How many slices there are; at least 1.
    var sliceCount: Int { get }

    /// About how many records there are in all; nil where nobody knows.
    var estimatedRecords: Int? { get }

    /// Opens a reader, on the thread that will use it; blocks.
    ///
    /// Throws `WalrelayError`.
    func open(_ format: CopyFormat) throws -> any RecordReader

    /// Ends what the source holds for all its readers, such as the transaction of a snapshot.
    ///
    /// Called once, after all readers have ended, be it well or not.
    func close()
}

/// Reads slices, one after the other; belongs to one thread.
public protocol RecordReader: AnyObject {
    /// Reads a slice and lends each of its records; blocks until the last.
    ///
    /// A record that cannot be passed on (bytes that are no text) goes to `dirty` instead. Throws
    /// what the closures throw and `WalrelayError` otherwise; then no more is read from it.
    func read(
        _ slice: Int,
        dirty: (DirtyRecord) throws -> Void,
        _ body: (Record) throws -> Void
    ) throws
}

/// Where a job's records go; used from all channels' threads.
public protocol RecordTarget: Sendable {
    /// The format in which the records of the source are wanted; valid once `begin` has returned.
    var format: CopyFormat { get }

    /// What will be done, a line each, for `--dry-run`: statements before, for a batch, and after.
    var plan: [String] { get }

    /// Sentences for the operator, found while the target was looked at.
    var warnings: [String] { get }

    /// Does what comes before the first record, and looks at the table that is there after it.
    ///
    /// Blocks. Throws `WalrelayError`.
    func begin() throws

    /// Opens a writer, on the thread that will use it; blocks. Throws `WalrelayError`.
    func open() throws -> any RecordWriter

    /// Does what comes after the last record, once every writer has flushed; blocks.
    ///
    /// Throws `WalrelayError`.
    func finish() throws
}

/// Writes records; belongs to one thread.
public protocol RecordWriter: AnyObject {
    /// Takes a record; blocks while a batch is written.
    ///
    /// Records that the target refuses are reported as dirty. Throws `WalrelayError` for what is
    /// no record's fault and once there are too many dirty ones.
    func take(_ record: Record) throws

    /// Writes what was taken and not written yet; returns once all of it is committed.
    func flush() throws

    /// Rolls back what is open; for the end of a job that failed or was killed.
    func abandon()
}
