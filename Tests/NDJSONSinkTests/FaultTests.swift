// SPDX-License-Identifier: Apache-2.0
//
// What goes wrong while the sink is open: full disks, failing syncs, a second writer, a directory
// that cannot be written. Faults are put in front of the system calls; one test fills a real disk.

import ChangeModel
import Foundation
import Glibc
import Sink
import Synchronization
import Testing

@testable import NDJSONSink

@Suite struct FaultTests {
    let folder: Folder

    init() throws {
        folder = try Folder()
    }

    private func opened(_ sink: NDJSONSink) throws -> SinkDirectory {
        _ = try sink.open()
        return try #require(sink.files).directory
    }

    // MARK: - Full disks

    @Test(arguments: [ENOSPC, EDQUOT])
    func `a full disk is waited for and writing goes on at the same byte`(errno: CInt) throws {
        let supervisor = TestSupervisor { _, _ in }
        let sink = NDJSONSink(folder, rotate: 500, supervisor: supervisor)
        let directory = try opened(sink)
        // Every system call that can find no room finds none twice; writes are halved in between.
        let calls = Mutex<[String: Int]>([:])
        directory.fault = { operation in
            let key = "\(operation)"
            let count = calls.withLock { calls in
                calls[key, default: 0] += 1
                return calls[key, default: 0]
            }
            switch operation {
            case .write: return [-1, errno, errno, 0][count % 4]
            case .create, .rename: return count <= 2 ? errno : 0
            default: return 0
            }
        }
        try sink.write(batch(1...50))
        try sink.commit(checkpoint(0x10))
        try sink.write(batch(51...60))
        try sink.commit(checkpoint(0x20))
        try sink.close()
        #expect(try folder.ids == Array(1...60))
        #expect(supervisor.waits.contains("sink.disk_full 1"))
        #expect(supervisor.waits.contains("sink.disk_full 2"))
        #expect(supervisor.waits.allSatisfy { $0.hasPrefix("sink.disk_full") })
    }

    @Test func `a wait that is given up leaves the last commit`() throws {
        let supervisor = TestSupervisor { error, attempt in
            if attempt > 2 { throw CancellationError() }
        }
        let sink = NDJSONSink(folder, supervisor: supervisor)
        let directory = try opened(sink)
        try sink.put(1...2, at: 0x10)
        let writes = Mutex(0)
        directory.fault = { operation in
            guard operation == .write else { return 0 }
            return writes.withLock { count in
                count += 1
                return count == 1 ? -1 : ENOSPC
            }
        }
        try sink.write(batch(3...9))
        #expect(throws: CancellationError.self) { try sink.commit(checkpoint(0x20)) }
        #expect(code { try sink.write(batch(10...10)) } == "sink.call_order")
        try sink.close()
        #expect(try folder.ids == [1, 2])
        #expect(try folder.read("checkpoint.json").contains("\"position\":\"0/10\""))
    }

    @Test(.enabled(if: geteuid() == 0, "mounting a small disk needs root"))
    func `a real disk that is full holds the sink up until there is room`() throws {
        guard mount("tmpfs", folder.path, "tmpfs", 0, "size=256k") == 0 else {
            print("skipped: no mounting here: \(String(cString: strerror(errno)))")
            return
        }
        defer { umount2(folder.path, CInt(MNT_DETACH)) }
        let ballast = folder.path + "/ballast"
        try Data(count: 128 << 10).write(to: URL(fileURLWithPath: ballast))
        let supervisor = TestSupervisor { error, attempt in
            guard attempt == 3 else { return }
            try FileManager.default.removeItem(atPath: ballast)
        }
        let sink = NDJSONSink(folder, rotate: 40_000, supervisor: supervisor)
        _ = try sink.open()
        // Lines until 180 KB are reached, more than fits beside the ballast.
        var last = 0
        while sink.statistics.bytesWritten < 180_000 {
            try sink.put(last + 1...last + 10, at: UInt64(last + 16))
            last += 10
        }
        #expect(supervisor.waits == (1...3).map { "sink.disk_full \($0)" })
        try sink.close()
        #expect(try folder.ids == Array(1...last))
    }

    // MARK: - Errors that are not waited for

    @Test func `a failed sync is not tried again and a rollback mends it`() throws {
        let sink = NDJSONSink(folder)
        let directory = try opened(sink)
        try sink.put(1...2, at: 0x10)
        directory.fault = { $0 == .sync ? EIO : 0 }
        try sink.write(batch(3...4))
        let error = try #require(try walrelayError { try sink.commit(checkpoint(0x20)) })
        #expect(error.code == "sink.fsync_failed")
        #expect(error.isTransient)
        directory.fault = nil
        #expect(code { try sink.commit(checkpoint(0x20)) } == "sink.call_order")
        try sink.rollback()
        try sink.put(3...4, at: 0x20)
        try sink.close()
        #expect(try folder.ids == [1, 2, 3, 4])
    }

    @Test func `a failed write is transient and a rollback mends it`() throws {
        let sink = NDJSONSink(folder)
        let directory = try opened(sink)
        directory.fault = { $0 == .write ? EIO : 0 }
        try sink.write(batch(1...2))
        let error = try #require(try walrelayError { try sink.commit(checkpoint(0x10)) })
        #expect(error.code == "sink.write_failed")
        #expect(error.isTransient)
        directory.fault = nil
        try sink.rollback()
        try sink.put(1...2, at: 0x10)
        try sink.close()
        #expect(try folder.ids == [1, 2])
    }

    /// A first commit writes two checkpoints: the one that says that nothing is committed, then its
    /// own. `failing` is the one whose directory sync fails.
    @Test(arguments: [(true, 1, []), (true, 2, [3, 4]), (false, 1, [1, 2, 3, 4])])
    func `a commit that fails behind the rename is taken back as a whole`(
        isFirst: Bool,
        failing: Int,
        ifKilled: [Int]
    ) throws {
        let sink = NDJSONSink(folder)
        let directory = try opened(sink)
        if !isFirst { try sink.put(1...2, at: 0x10) }
        let renames = Mutex(0)
        directory.fault = { operation in
            renames.withLock { renames in
                if operation == .rename("checkpoint.json.tmp") { renames += 1 }
                return operation == .syncDirectory && renames == failing ? EIO : 0
            }
        }
        try sink.write(batch(3...4))
        #expect(code { try sink.commit(checkpoint(0x20)) } == "sink.fsync_failed")
        // A kill right here leaves the newer checkpoint together with its data.
        #expect(try idsAfterRestart(of: folder) == ifKilled)
        directory.fault = nil
        try sink.rollback()
        #expect(try idsAfterRestart(of: folder) == (isFirst ? [] : [1, 2]))
        try sink.put(3...4, at: 0x20)
        try sink.close()
        #expect(try folder.ids == (isFirst ? [3, 4] : [1, 2, 3, 4]))
    }

    @Test func `a file that cannot be sealed does not fail the commit and is sealed later`() throws
    {
        let sink = NDJSONSink(folder, rotate: 1)
        let directory = try opened(sink)
        directory.fault = { $0 == .rename("000000000001.ndjson.open") ? EIO : 0 }
        try sink.put(1...2, at: 0x10)
        #expect(try folder.eventFiles.allSatisfy { $0.hasSuffix(".open") })
        directory.fault = nil
        try sink.put(3...3, at: 0x20)
        #expect(try folder.eventFiles.filter { $0.hasSuffix(".ndjson") }.count == 3)
        try sink.close()
        #expect(try folder.ids == [1, 2, 3])
    }

    // MARK: - The directory

    @Test func `only one writer at a time, and the message names it`() throws {
        let sink = NDJSONSink(folder)
        _ = try sink.open()
        let error = try #require(try walrelayError { _ = try NDJSONSink(folder).open() })
        #expect(error.code == "sink.directory_in_use")
        #expect(error.exit == .prerequisite)
        #expect(error.message.contains("process \(getpid())"))
        try sink.close()
        #expect(try NDJSONSink(folder).open() == nil)
    }

    @Test func `the directory is made with what is above it`() throws {
        let path = folder.path + "/a/b/c/"
        let sink = NDJSONSink(
            NDJSONSink.Options(
                directory: path,
                format: ValueFormat(),
                task: "orders",
                database: "shop",
                version: "0"
            ),
            supervisor: TestSupervisor()
        )
        _ = try sink.open()
        try sink.put(1...1, at: 0x10)
        try sink.close()
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o027 == 0, "not for others, not for the group to write")
    }

    @Test func `a path through a file is refused`() throws {
        try folder.write("", to: "file")
        for path in [folder.path + "/file", folder.path + "/file/below"] {
            let sink = NDJSONSink(
                NDJSONSink.Options(
                    directory: path,
                    format: ValueFormat(),
                    task: "orders",
                    database: "shop",
                    version: "0"
                ),
                supervisor: TestSupervisor()
            )
            let error = try #require(try walrelayError { _ = try sink.open() })
            #expect(error.code == "sink.directory_unwritable")
            #expect(error.exit == .settings)
            #expect(error.message.contains("Not a directory"))
        }
    }

    @Test(.enabled(if: geteuid() != 0, "root may write everywhere"))
    func `a directory of somebody else is refused with the command that mends it`() throws {
        chmod(folder.path, 0o550)
        defer { chmod(folder.path, 0o750) }
        let error = try #require(try walrelayError { _ = try NDJSONSink(folder).open() })
        #expect(error.code == "sink.directory_unwritable")
        #expect(error.message.contains("Permission denied"))
        #expect(error.hint.contains("install -d"))
    }

    @Test(.enabled(if: geteuid() == 0, "mounting needs root"))
    func `a read-only file system is refused`() throws {
        guard mount("tmpfs", folder.path, "tmpfs", UInt(MS_RDONLY), "size=64k") == 0 else {
            print("skipped: no mounting here: \(String(cString: strerror(errno)))")
            return
        }
        defer { umount2(folder.path, CInt(MNT_DETACH)) }
        let error = try #require(try walrelayError { _ = try NDJSONSink(folder).open() })
        #expect(error.code == "sink.directory_unwritable")
        #expect(error.message.contains("Read-only file system"))
    }
}
