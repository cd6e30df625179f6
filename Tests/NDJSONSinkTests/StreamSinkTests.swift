// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Glibc
import Sink
import Synchronization
import Testing

@testable import NDJSONSink

@Suite struct StreamSinkTests {
    private let reading: CInt
    private let writing: CInt

    init() throws {
        // As the process does; otherwise a closed pipe would end the tests.
        signal(SIGPIPE, SIG_IGN)
        var ends: [CInt] = [0, 0]
        try #require(pipe(&ends) == 0)
        (reading, writing) = (ends[0], ends[1])
    }

    private func sink(
        on descriptor: CInt,
        _ supervisor: TestSupervisor = TestSupervisor()
    )
        -> StreamSink
    {
        StreamSink(
            descriptor: descriptor,
            task: "orders",
            database: "shop",
            version: "0.0.0",
            format: ValueFormat(),
            supervisor: supervisor
        )
    }

    @Test(arguments: [false, true])
    func `lines come out whole and in order through a pipe that is often full`(
        nonblocking: Bool
    ) throws {
        if nonblocking { _ = fcntl(writing, F_SETFL, O_NONBLOCK) }
        let output = Drain(reading)
        let sink = sink(on: writing)
        #expect(try sink.open() == nil)
        try sink.beginSnapshot(checkpoint(0x10, .running))
        for part in 0..<20 { try sink.write(batch(part * 1_000..<(part + 1) * 1_000)) }
        try sink.commit(checkpoint(0x20))
        try sink.close()
        Glibc.close(writing)
        let text = output.text()
        #expect(try eventIDs(in: text) == Array(0..<20_000))
        #expect(text.utf8.count == Int(sink.statistics.bytesWritten))
        #expect(sink.statistics.commits == 1)
    }

    @Test func `a commit flushes a single line`() throws {
        let sink = sink(on: writing)
        _ = try sink.open()
        try sink.write(batch(1...1))
        try sink.commit(checkpoint(0x10))
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = read(reading, &bytes, bytes.count)
        #expect(try eventIDs(in: String(decoding: bytes[..<max(0, count)], as: UTF8.self)) == [1])
        Glibc.close(reading)
        Glibc.close(writing)
    }

    @Test func `rollback forgets what is not written yet`() throws {
        let output = Drain(reading)
        let sink = sink(on: writing)
        _ = try sink.open()
        try sink.write(batch(1...3))
        try sink.rollback()
        try sink.write(batch(4...5))
        try sink.commit(checkpoint(0x10))
        Glibc.close(writing)
        #expect(try eventIDs(in: output.text()) == [4, 5])
    }

    @Test func `a reader that has gone is a request to stop`() throws {
        Glibc.close(reading)
        let sink = sink(on: writing)
        _ = try sink.open()
        try sink.write(batch(1...1))
        let error = try #require(try walrelayError { try sink.commit(checkpoint(0x10)) })
        #expect(error.code == "sink.closed")
        #expect(error.exit == .success)
        #expect(!error.isTransient)
        try sink.close()
        Glibc.close(writing)
    }

    @Test func `a reader that does not read is waited for until the task is cancelled`()
        async throws
    {
        let writing = writing
        let blocked = Task.detached {
            let sink = StreamSink(
                descriptor: writing,
                task: "orders",
                database: "shop",
                version: "0",
                format: ValueFormat(),
                supervisor: TestSupervisor()
            )
            _ = try sink.open()
            // More than any pipe holds.
            while true { try sink.write(batch(1...10_000)) }
        }
        blocked.cancel()
        await #expect(throws: CancellationError.self) { try await blocked.value }
        Glibc.close(reading)
        Glibc.close(writing)
    }

    @Test func `a full device is waited for through the supervisor`() throws {
        let full = Glibc.open("/dev/full", O_WRONLY)
        try #require(full >= 0)
        let supervisor = TestSupervisor { error, attempt in if attempt == 2 { throw error } }
        let sink = sink(on: full, supervisor)
        _ = try sink.open()
        try sink.write(batch(1...1))
        #expect(code { try sink.commit(checkpoint(0x10)) } == "sink.disk_full")
        #expect(supervisor.waits == ["sink.disk_full 1", "sink.disk_full 2"])
        Glibc.close(full)
        Glibc.close(reading)
        Glibc.close(writing)
    }

    @Test func `an output that is not open is refused`() throws {
        Glibc.close(reading)
        Glibc.close(writing)
        #expect(code { _ = try sink(on: -1).open() } == "sink.output_unwritable")
    }
}

/// Reads a pipe to its end on a thread of its own, which no blocked test can keep from running.
private final class Drain: Sendable {
    private let content = Mutex("")
    private let done = DispatchSemaphore(value: 0)

    init(_ descriptor: CInt) {
        Thread.detachNewThread { [self] in
            let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
            let text = String(decoding: handle.readDataToEndOfFile(), as: UTF8.self)
            content.withLock { $0 = text }
            done.signal()
        }
    }

    /// Blocks until the other end is closed.
    func text() -> String {
        done.wait()
        return content.withLock { $0 }
    }
}
