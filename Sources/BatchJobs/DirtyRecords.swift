// SPDX-License-Identifier: Apache-2.0
//
// Where dirty records come together: each is counted and written into the file in full, the first
// ten are logged in brief, and the one that is too many ends the job. Used from all channels'
// threads, one at a time, so that with any number of channels the same job ends the same way.

import ChangeModel
import Glibc
import Logging
import Settings
import Synchronization

/// Counts and keeps the dirty records of a job.
final class DirtyRecords: Sendable {
    /// How many are logged.
    private static let loggedCount = 10

    private let limit: Job.ErrorLimit
    private let file: DirtyRecordsFile?
    private let counters: JobCounters
    private let log: Logger
    /// Held while a record is counted, logged and written.
    private let lock = Mutex(())

    /// Makes the file, or empties it; blocks.
    init(
        limit: Job.ErrorLimit,
        file: String?,
        counters: JobCounters,
        log: Logger
    ) throws(WalrelayError) {
        self.limit = limit
        self.counters = counters
        self.log = log
        if let file { self.file = try DirtyRecordsFile(file) } else { self.file = nil }
    }

    /// Takes a dirty record; throws `job.dirty_records` from the first that is too many on.
    ///
    /// Blocks while the file is written.
    func report(_ record: DirtyRecord) throws {
        try lock.withLock { _ in
            let count = counters.dirtyRecords.add(1, ordering: .relaxed).newValue
            try file?.append(record)
            if count <= Self.loggedCount { log.warning("\(Self.line(record, number: count))") }
            if count == Self.loggedCount + 1 {
                let place = file.map { "written to \($0.path)" } ?? "counted"
                log.warning("further dirty records are not logged, only \(place)")
            }
            guard let most = limit.records, count > most else { return }
            throw tooMany("\(count) dirty record\(count == 1 ? "" : "s")", "record \(most)")
        }
    }

    /// Throws `job.dirty_records` where the share of dirty records is too large.
    ///
    /// For the end, when all records have been read and written.
    func checkShare() throws(WalrelayError) {
        let dirty = counters.dirtyRecords.load(ordering: .relaxed)
        let read = counters.recordsRead.load(ordering: .relaxed)
        guard let most = limit.share, dirty > 0, Double(dirty) > most * Double(max(read, dirty))
        else { return }
        throw tooMany("\(dirty) of \(read) records are dirty", "percentage \(most)")
    }

    /// Brings what was written to the disk; the end of the file.
    func close() throws(WalrelayError) {
        try file?.close()
    }

    private func tooMany(_ what: String, _ limit: String) -> WalrelayError {
        let place =
            file.map { "in \($0.path)" } ?? "in the log; name a file in dirtyRecords for all"
        return WalrelayError(
            "job.dirty_records",
            exit: .refused,
            "\(what): more than errorLimit.\(limit) allows",
            hint: "the records and the reasons stand \(place)"
        )
    }

    /// A record in at most some 600 characters.
    static func line(_ record: DirtyRecord, number: Int) -> String {
        let state = record.sqlState.isEmpty ? "" : " (SQLSTATE \(record.sqlState))"
        var values: [String] = []
        var room = 300
        for value in record.values {
            guard room > 0 else {
                values.append("… \(record.values.count) values in all")
                break
            }
            let text = value.map { "'\(brief($0, 60))'" } ?? "NULL"
            room -= text.count
            values.append(text)
        }
        return "dirty record \(number), refused by the \(record.side.rawValue): "
            + "\(brief(record.reason, 200))\(state): (\(values.joined(separator: ", ")))"
    }

    private static func brief(_ text: String, _ length: Int) -> String {
        // Of a long text only what is shown is looked at.
        guard let end = text.index(text.startIndex, offsetBy: length, limitedBy: text.endIndex),
            end < text.endIndex
        else { return text }
        return "\(text[..<end])… (\(text.utf8.count) bytes)"
    }
}

/// A file of JSON lines, one a dirty record, readable by its owner and group alone.
///
/// `{"type":"writer","message":"…","exception":"23505","record":["1",null]}`
final class DirtyRecordsFile: Sendable {
    let path: String
    private let descriptor: CInt

    init(_ path: String) throws(WalrelayError) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else {
            throw WalrelayError(
                "job.dirty_records_file",
                exit: .settings,
                "The file for dirty records \(path) cannot be written: \(Self.reason(errno))",
                hint: "name a file in an existing directory that walrelay may write to"
            )
        }
    }

    deinit { _ = Glibc.close(descriptor) }

    /// Appends a line; not for two threads at a time.
    func append(_ record: DirtyRecord) throws(WalrelayError) {
        let line = Self.line(record)
        var done = 0
        while done < line.count {
            let count = line.withUnsafeBytes {
                write(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done)
            }
            if count > 0 {
                done += count
            } else if errno != EINTR {
                throw failure(errno)
            }
        }
    }

    /// Brings the lines to the disk; what has no disk, such as a pipe, is content without.
    func close() throws(WalrelayError) {
        guard fsync(descriptor) != 0, errno != EINVAL, errno != EROFS else { return }
        throw failure(errno)
    }

    private func failure(_ code: CInt) -> WalrelayError {
        WalrelayError(
            "job.dirty_records_file",
            exit: .unreachable,
            "Writing dirty records to \(path) failed: \(Self.reason(code))",
            hint: "make room, or name another file in dirtyRecords"
        )
    }

    private static func reason(_ code: CInt) -> String { String(cString: strerror(code)) }

    /// One object and its newline.
    static func line(_ record: DirtyRecord) -> [UInt8] {
        var line: [UInt8] = []
        line.append(contentsOf: "{\"type\":".utf8)
        append(record.side.rawValue, to: &line)
        line.append(contentsOf: ",\"message\":".utf8)
        append(record.reason, to: &line)
        line.append(contentsOf: ",\"exception\":".utf8)
        append(record.sqlState, to: &line)
        line.append(contentsOf: ",\"record\":[".utf8)
        for (place, value) in record.values.enumerated() {
            if place > 0 { line.append(UInt8(ascii: ",")) }
            if let value {
                append(value, to: &line)
            } else {
                line.append(contentsOf: "null".utf8)
            }
        }
        line.append(contentsOf: "]}\n".utf8)
        return line
    }

    /// Appends a string of JSON.
    private static func append(_ text: String, to line: inout [UInt8]) {
        line.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                line.append(UInt8(ascii: "\\"))
                line.append(byte)
            case UInt8(ascii: "\n"):
                line.append(contentsOf: "\\n".utf8)
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                line.append(contentsOf: (digits.utf8.count == 1 ? "\\u000" : "\\u00").utf8)
                line.append(contentsOf: digits.utf8)
            default:
                line.append(byte)
            }
        }
        line.append(UInt8(ascii: "\""))
    }
}
