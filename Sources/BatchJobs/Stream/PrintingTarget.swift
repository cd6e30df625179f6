// SPDX-License-Identifier: Apache-2.0
//
// The stream writer: records as lines on the standard output, or nowhere. A line is what COPY's
// text format says, so that it can be read back: NULL is \N, and a backslash stands before a tab,
// a line end or a backslash within a value.

public import ChangeModel
public import Settings
import Synchronization

/// Prints records to a file descriptor, or throws them away.
public final class PrintingTarget: RecordTarget {
    private let output: LineOutput?
    private let delimiter: [UInt8]
    private let counters: JobCounters

    /// A target on `descriptor`, which stays the caller's.
    ///
    /// Throws `job.output` where it is not open.
    public init(
        _ step: Job.StreamWriter,
        descriptor: Int32 = 1,
        context: JobContext
    ) throws(WalrelayError) {
        output =
            step.prints ? try LineOutput(descriptor: descriptor, stop: context.stop) : nil
        delimiter = Array(step.delimiter.utf8)
        counters = context.counters
    }

    /// Text: that is what is printed.
    public let format = CopyFormat.text

    /// One line.
    public var plan: [String] {
        [output == nil ? "throw the records away" : "print the records to the standard output"]
    }

    /// None.
    public var warnings: [String] { [] }

    /// Does nothing.
    public func begin() {}

    /// A writer with a buffer of its own.
    public func open() -> any RecordWriter {
        guard let output else { return DiscardingWriter(counters) }
        return PrintingWriter(output, delimiter: delimiter, counters: counters)
    }

    /// Does nothing: flushed lines are written.
    public func finish() {}
}

/// Counts records and forgets them.
private final class DiscardingWriter: RecordWriter {
    private let counters: JobCounters
    private var records = 0

    init(_ counters: JobCounters) {
        self.counters = counters
    }

    func take(_ record: Record) {
        records += 1
        if records == 1_024 { flush() }
    }

    func flush() {
        counters.recordsWritten.add(records, ordering: .relaxed)
        records = 0
    }

    func abandon() {}
}

/// Gathers lines and writes them many at a time.
private final class PrintingWriter: RecordWriter {
    private static let bufferBytes = 1 << 17

    private let output: LineOutput
    private let delimiter: [UInt8]
    private let counters: JobCounters
    private let isPlain: Bool
    private var lines: [UInt8] = []
    private var records = 0

    init(_ output: LineOutput, delimiter: [UInt8], counters: JobCounters) {
        self.output = output
        self.delimiter = delimiter
        self.counters = counters
        isPlain = delimiter == [UInt8(ascii: "\t")]
        lines.reserveCapacity(Self.bufferBytes)
    }

    func take(_ record: Record) throws {
        if lines.count + record.count > Self.bufferBytes { try flush() }
        records += 1
        guard isPlain else { return append(record) }
        if record.count > Self.bufferBytes {
            try output.write(record)
            try flush()
        } else {
            lines.append(contentsOf: record)
        }
    }

    func flush() throws {
        if !lines.isEmpty { try lines.withUnsafeBytes { try output.write($0) } }
        // A line that was longer than the buffer has made it larger.
        let isLarge = lines.capacity > 2 * Self.bufferBytes
        lines.removeAll(keepingCapacity: !isLarge)
        counters.recordsWritten.add(records, ordering: .relaxed)
        records = 0
    }

    func abandon() {
        lines.removeAll()
    }

    /// Appends a record with the delimiter that was asked for.
    ///
    /// As COPY does it, a backslash stands before a delimiter of one byte within a value; a longer
    /// one cannot be marked.
    private func append(_ record: Record) {
        let marked = delimiter.count == 1 ? delimiter[0] : nil
        for byte in record {
            if byte == UInt8(ascii: "\t") {
                lines.append(contentsOf: delimiter)
            } else {
                if byte == marked { lines.append(UInt8(ascii: "\\")) }
                lines.append(byte)
            }
        }
    }
}
