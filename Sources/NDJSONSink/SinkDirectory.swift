// SPDX-License-Identifier: Apache-2.0
//
// The directory that one task writes: held open and locked, and the only place of this room that
// makes system calls on files. Names are relative to the held directory, so nothing depends on
// the working directory. Interrupted calls are repeated here; what an error means is decided by
// the caller, who gets the errno.

import ChangeModel
import Glibc

/// A failed system call.
struct Errno: Error, Equatable {
    let code: CInt

    /// The error of the system call that has just failed on this thread.
    static var last: Errno { Errno(code: errno) }

    /// The system's own words.
    var text: String { String(cString: strerror(code)) }
    /// Whether room is what is lacking: on the device, or in a quota.
    var isDiskFull: Bool { code == ENOSPC || code == EDQUOT }

    private static let passing: Set<CInt> = [
        EIO, ENXIO, ENODEV, ESTALE, ETIMEDOUT, ENOTCONN, EHOSTDOWN, EHOSTUNREACH, EMFILE, ENFILE,
        ENOMEM, EBUSY, ENOLCK,
    ]

    /// Whether it may be otherwise later without other settings: room, a device or a file server
    /// that comes back, descriptors and memory of the machine.
    var mayPass: Bool {
        isDiskFull || Self.passing.contains(code)
    }
}

/// A file descriptor that closes itself.
final class OpenFile {
    let descriptor: CInt

    init(_ descriptor: CInt) {
        self.descriptor = descriptor
    }

    deinit {
        Glibc.close(descriptor)
    }
}

/// What a system call is about to do; tests put faults in front of it.
enum FileOperation: Equatable {
    case create(String)
    case write
    case sync
    case syncDirectory
    case rename(String)
    case remove(String)
    case truncate(String)
}

/// A locked directory and the file operations in it.
final class SinkDirectory {
    /// The path as the settings gave it.
    let path: String
    private let handle: OpenFile
    /// Held for as long as this object lives; closing it lets go of the lock.
    private let lock: OpenFile
    /// For tests: the errno that an operation fails with; 0 for none, -1 for half of a write.
    var fault: ((FileOperation) -> CInt)?

    /// Makes the directory if it is absent, opens and locks it.
    init(path: String) throws(WalrelayError) {
        self.path = path
        do {
            try Self.create(path)
            handle = OpenFile(
                try repeating { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
            )
            _ = try repeating { [handle] in
                faccessat(handle.descriptor, ".", R_OK | W_OK | X_OK, AT_EACCESS)
            }
            lock = OpenFile(
                try repeating { [handle] in
                    openat(handle.descriptor, ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
                }
            )
        } catch {
            throw .directoryUnwritable(path, error)
        }
        try takeLock()
    }

    /// How often a lock that somebody holds is asked for again, and how long between.
    private static let lockAttempts = 5
    private static let lockPauseMicroseconds: UInt32 = 50_000

    private func takeLock() throws(WalrelayError) {
        do {
            try waitForLock()
        } catch {
            guard error.code == EWOULDBLOCK else { throw .directoryUnwritable(path, error) }
            var text = [UInt8](repeating: 0, count: 20)
            let count = max(0, pread(lock.descriptor, &text, text.count, 0))
            let pid = Int32(
                String(decoding: text[..<count].prefix { $0 != 0x0A }, as: UTF8.self)
            )
            throw .directoryInUse(path, pid: pid)
        }
        // The number is for people only: the lock is the kernel's, so a failure may pass.
        let text = Array("\(getpid())\n".utf8)
        if ftruncate(lock.descriptor, 0) == 0 {
            _ = pwrite(lock.descriptor, text, text.count, 0)
        }
    }

    /// A process that is just ending, or a child of one that has not become another program yet,
    /// holds the lock for a moment: that is waited for, a quarter of a second at most.
    private func waitForLock() throws(Errno) {
        for attempt in 1...Self.lockAttempts {
            do {
                _ = try repeating { flock(lock.descriptor, LOCK_EX | LOCK_NB) }
                return
            } catch {
                guard error.code == EWOULDBLOCK, attempt < Self.lockAttempts else { throw error }
                usleep(Self.lockPauseMicroseconds)
            }
        }
    }

    /// Makes a directory and what is missing above it, each durable in its parent.
    private static func create(_ path: String) throws(Errno) {
        let parent = parent(of: path)
        var error = makeDirectory(path)
        if error == ENOENT, parent != path {
            try create(parent)
            error = makeDirectory(path)
        }
        if error == EEXIST { return }
        guard error == 0 else { throw Errno(code: error) }
        let handle = OpenFile(
            try repeating { Glibc.open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        )
        _ = try repeating { fsync(handle.descriptor) }
    }

    /// The directory that a path lies in; `.` for a name alone.
    static func parent(of path: String) -> String {
        var path = path[...]
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func makeDirectory(_ path: String) -> CInt {
        mkdir(path, 0o750) == 0 ? 0 : errno
    }

    /// Creates a file for writing; one that exists is an error, or is emptied on demand.
    func create(_ name: String, replacing: Bool = false) throws(Errno) -> OpenFile {
        try inject(.create(name))
        let flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (replacing ? O_TRUNC : O_EXCL)
        return OpenFile(try repeating { openat(handle.descriptor, name, flags, 0o640) })
    }

    /// Opens a file that exists, for writing.
    func open(_ name: String) throws(Errno) -> OpenFile {
        OpenFile(
            try repeating {
                openat(handle.descriptor, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC)
            }
        )
    }

    /// The whole content of a file, `nil` where there is none; EFBIG over `limit` bytes.
    func read(_ name: String, limit: Int) throws(Errno) -> [UInt8]? {
        let file: OpenFile
        do {
            file = OpenFile(
                try repeating {
                    openat(handle.descriptor, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
                }
            )
        } catch {
            if error.code == ENOENT { return nil }
            throw error
        }
        var content: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(file.descriptor, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .last }
            if count == 0 { return content }
            content += part[..<count]
            guard content.count <= limit else { throw Errno(code: EFBIG) }
        }
    }

    /// Writes at a position and returns how much of it was taken, at least one byte.
    func write(
        _ bytes: UnsafeRawBufferPointer,
        to file: OpenFile,
        at offset: Int64
    ) throws(Errno) -> Int {
        var count = bytes.count
        if let code = fault?(.write), code != 0 {
            guard code == -1 else { throw Errno(code: code) }
            count = (count + 1) / 2
        }
        while true {
            let written = pwrite(file.descriptor, bytes.baseAddress, count, off_t(offset))
            if written > 0 { return written }
            if written == 0 { throw Errno(code: EIO) }
            if errno != EINTR { throw .last }
        }
    }

    /// Makes a file's bytes durable.
    func sync(_ file: OpenFile) throws(Errno) {
        try inject(.sync)
        _ = try repeating { fdatasync(file.descriptor) }
    }

    /// Makes the names in the directory durable.
    func sync() throws(Errno) {
        try inject(.syncDirectory)
        _ = try repeating { fsync(handle.descriptor) }
    }

    /// Lets the kernel begin to write a range of fresh bytes; a mere hint.
    ///
    /// Dirty pages are not dropped by this, they are only queued, so readers still find them.
    func beginWriteback(_ file: OpenFile, from offset: Int64, to end: Int64) {
        posix_fadvise(
            file.descriptor,
            off_t(offset),
            off_t(end - offset),
            CInt(POSIX_FADV_DONTNEED)
        )
    }

    /// Gives a file another name, in place of whatever has that name.
    func rename(_ name: String, to newName: String) throws(Errno) {
        try inject(.rename(name))
        _ = try repeating { renameat(handle.descriptor, name, handle.descriptor, newName) }
    }

    /// Removes a file; one that is absent is no error.
    func remove(_ name: String) throws(Errno) {
        try inject(.remove(name))
        do {
            _ = try repeating { unlinkat(handle.descriptor, name, 0) }
        } catch  where error.code == ENOENT {}
    }

    /// Cuts a file back.
    func truncate(_ file: OpenFile, named name: String, to length: Int64) throws(Errno) {
        try inject(.truncate(name))
        _ = try repeating { ftruncate(file.descriptor, off_t(length)) }
    }

    /// The regular files of the directory whose names are those of event files.
    func eventFiles() throws(Errno) -> [EventFileFound] {
        var found: [EventFileFound] = []
        for name in try names() {
            guard let parsed = EventFileName(parsing: name) else { continue }
            var status = stat()
            _ = try repeating {
                fstatat(handle.descriptor, name, &status, AT_SYMLINK_NOFOLLOW)
            }
            guard status.st_mode & S_IFMT == S_IFREG else { continue }
            found.append(EventFileFound(name: parsed, length: Int64(status.st_size)))
        }
        return found
    }

    /// Every name in the directory.
    func names() throws(Errno) -> [String] {
        let listed = try repeating {
            openat(handle.descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        }
        guard let stream = fdopendir(listed) else {
            let error = Errno.last
            Glibc.close(listed)
            throw error
        }
        defer { closedir(stream) }
        var found: [String] = []
        while let entry = readdir(stream) {
            found.append(
                withUnsafePointer(to: &entry.pointee.d_name) { field in
                    field.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
            )
        }
        return found
    }

    private func inject(_ operation: FileOperation) throws(Errno) {
        if let code = fault?(operation), code != 0 { throw Errno(code: code) }
    }
}

/// Makes a system call again for as long as a signal interrupts it.
private func repeating(_ call: () -> CInt) throws(Errno) -> CInt {
    while true {
        let result = call()
        if result >= 0 { return result }
        if errno != EINTR { throw .last }
    }
}
