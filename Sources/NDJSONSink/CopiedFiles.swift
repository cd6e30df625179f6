// SPDX-License-Identifier: Apache-2.0
//
// The rows of tables that are copied beside the stream, in files of their own until all are there:
//
//   copied-000001.part, copied-000002.part, …     being written; nobody's events yet
//   000000000004.ndjson.open, …                   the same files, adopted by the run (EventFiles)
//
// So commits of the stream depend on none of these rows, and whatever is killed when, the rows of
// a table are in the run once or not at all. What is left of a copy that did not come to its end
// is removed on the next start.

import ChangeModel
import Sink

/// Writes the rows of a copy.
struct CopiedFiles: ~Copyable {
    /// A file that is written and synced.
    struct Finished: Sendable, Equatable {
        var name: String
        var length: Int64
    }

    private let files: EventFiles
    private let rotateBytes: Int64
    private var events: EventEncoder
    private var finished: [Finished] = []
    private var current: OpenFile?
    private var length: Int64 = 0

    /// Begins in the directory of `files`; a file that has reached `rotateBytes` is followed by
    /// the next.
    init(beside files: EventFiles, rotateBytes: Int64, events: consuming EventEncoder) throws {
        try Self.remove(from: files)
        self.files = files
        self.rotateBytes = rotateBytes
        self.events = events
    }

    /// Removes what a copy has left that did not come to its end.
    static func remove(from files: EventFiles) throws {
        let directory = files.directory
        let names = try files.attempt("Listing", directory.path) { () throws(Errno) in
            try directory.names()
        }
        for name in names where name.hasPrefix(prefix) && name.hasSuffix(suffix) {
            try files.attempt("Removing", name) { () throws(Errno) in try directory.remove(name) }
        }
    }

    private static let prefix = "copied-"
    private static let suffix = ".part"

    private var name: String {
        let number = String(finished.count + 1)
        return Self.prefix + String(repeating: "0", count: max(0, 6 - number.count)) + number
            + Self.suffix
    }

    /// Encodes a batch, and writes whenever enough has come together.
    ///
    /// Returns how many bytes were written.
    mutating func write(_ batch: borrowing ChangeBatch) throws -> Int {
        let now = PostgresTime.now
        var (start, written) = (0, 0)
        while start < batch.changes.count {
            let room = rotateBytes - length - Int64(events.buffer.count)
            start = try events.encode(batch, start..<batch.changes.count, room: room, at: now)
            let isFull = length + Int64(events.buffer.count) >= rotateBytes
            if isFull || events.buffer.count >= EventEncoder.flushBytes { written += try flush() }
            if isFull { try end() }
        }
        return written
    }

    /// Makes the files durable and gives them away, in their order.
    mutating func finish() throws -> [Finished] {
        _ = try flush()
        try end()
        return finished
    }

    private mutating func flush() throws -> Int {
        let count = events.buffer.count
        guard count > 0 else { return 0 }
        let (name, directory) = (name, files.directory)
        let file =
            try current
            ?? files.attempt("Creating", name) { () throws(Errno) in
                try directory.create(name, replacing: true)
            }
        current = file
        var length = length
        try events.buffer.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
                let offset = length
                let taken = try files.attempt("Writing", "\(name), byte \(offset)") {
                    () throws(Errno) in
                    try directory.write(rest, to: file, at: offset)
                }
                done += taken
                length += Int64(taken)
            }
        }
        self.length = length
        events.buffer.removeAll(keepingUpTo: EventEncoder.keptBytes)
        return count
    }

    private mutating func end() throws {
        guard let file = current else { return }
        do {
            try files.directory.sync(file)
        } catch {
            throw WalrelayError.fsyncFailed("\(files.directory.path)/\(name)", error)
        }
        finished.append(Finished(name: name, length: length))
        (current, length) = (nil, 0)
    }
}
