// SPDX-License-Identifier: Apache-2.0
//
// Reads what an ndjson sink left, as a consumer would: sealed files in order, then the open one,
// up to the checkpoint. One line at a time, so its memory does not grow with the files.
import Foundation
import Glibc

/// The events in a directory of an ndjson sink.
public struct NDJSONReader: Sendable {
    /// How much of the directory counts.
    public enum Extent: Sendable {
        /// What `checkpoint.json` covers; everything where there is none.
        case checkpoint
        /// Every byte, also the tail that a restart would cut off.
        case everything
    }

    /// The directory.
    public let directory: String
    private let extent: Extent

    /// Reads nothing yet.
    public init(_ directory: String, extent: Extent = .checkpoint) {
        self.directory = directory
        self.extent = extent
    }

    /// The names of the event files, oldest first.
    public func fileNames() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory)
            .filter { $0.hasSuffix(".ndjson") || $0.hasSuffix(".ndjson.open") }
            .sorted()
    }

    /// The parsed checkpoint.json, or nil where there is none.
    public func checkpoint() throws -> [String: Any]? {
        let path = "\(directory)/checkpoint.json"
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        return try JSONSerialization.jsonObject(with: data) as? [String: Any]
    }

    /// Calls `body` with every event in order; an error is thrown on with file and line.
    ///
    /// Each hundredth line or so is also given to Foundation's JSON parser.
    public func read(_ body: (ChangeEvent) throws -> Void) throws {
        try readLines { bytes, number in
            if number < 50 || number % 97 == 0 {
                _ = try JSONSerialization.jsonObject(with: Data(bytes))
            }
            try body(try ChangeEvent(line: bytes))
        }
    }

    /// All events at once; for tests with few of them.
    public func events() throws -> [ChangeEvent] {
        var events: [ChangeEvent] = []
        try read { events.append($0) }
        return events
    }

    /// How many events there are.
    public func count() throws -> Int {
        var count = 0
        try readLines { _, _ in count += 1 }
        return count
    }

    /// Calls `body` with the bytes of every line and the line's number in its file, from 1.
    public func readLines(_ body: (UnsafeRawBufferPointer, Int) throws -> Void) throws {
        // The checkpoint first: what is read after it can only be longer.
        let checkpoint = extent == .checkpoint ? try checkpoint() : nil
        let last = (checkpoint?["file"] as? String).map { $0.prefix(12) }
        let length = checkpoint?["length"] as? Int
        for name in try fileNames() {
            let number = name.prefix(12)
            if let last, number > last { continue }
            let limit = number == last ? length ?? Int.max : Int.max
            try readFile(
                name,
                limit: limit,
                mustBeWhole: number == last || name.hasSuffix(".ndjson"),
                body
            )
        }
    }

    private func readFile(
        _ name: String,
        limit: Int,
        mustBeWhole: Bool,
        _ body: (UnsafeRawBufferPointer, Int) throws -> Void
    ) throws {
        var file = open("\(directory)/\(name)", O_RDONLY | O_CLOEXEC)
        if file < 0, name.hasSuffix(".open") {
            // It was sealed since the directory was listed.
            file = open("\(directory)/\(name.dropLast(5))", O_RDONLY | O_CLOEXEC)
        }
        guard file >= 0 else { throw SupportError("\(directory)/\(name): \(errnoText())") }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var filled = 0
        var left = limit
        var number = 0
        while left > 0 {
            if filled == buffer.count { buffer += [UInt8](repeating: 0, count: buffer.count) }
            let count = buffer.withUnsafeMutableBytes {
                Glibc.read(file, $0.baseAddress.map { $0 + filled }, min(left, $0.count - filled))
            }
            guard count > 0 else { break }
            filled += count
            left -= count
            let used = try buffer.withUnsafeBytes { bytes in
                try Self.lines(UnsafeRawBufferPointer(rebasing: bytes[..<filled])) { line in
                    number += 1
                    do {
                        try body(line, number)
                    } catch {
                        let text = String(decoding: line.prefix(2_000), as: UTF8.self)
                        throw SupportError("\(name):\(number): \(error)\n\(text)")
                    }
                }
            }
            buffer.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                memmove(base, base + used, filled - used)
            }
            filled -= used
        }
        guard !mustBeWhole || filled == 0 else {
            throw SupportError("\(name) ends within line \(number + 1)")
        }
        guard left == 0 || limit == Int.max else {
            throw SupportError("\(name) is \(left) bytes shorter than the checkpoint says")
        }
    }

    /// Calls `body` with each line that ends in `bytes`; gives the bytes used up.
    private static func lines(
        _ bytes: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        var start = 0
        while start < bytes.count, let found = memchr(base + start, 0x0a, bytes.count - start) {
            let end = UnsafeRawPointer(found) - base
            try body(UnsafeRawBufferPointer(start: base + start, count: end - start))
            start = end + 1
        }
        return start
    }
}
