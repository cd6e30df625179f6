// SPDX-License-Identifier: Apache-2.0
//
// A whole small file in memory, never more than a stated number of bytes of it, with the reason
// in the system's words when it cannot be had.

import Foundation

/// The bytes of a small file, and who may read it.
struct BoundedFile {
    /// Why a file cannot be had: the end of a sentence that names it.
    struct Failure: Error {
        let reason: String
    }

    let bytes: [UInt8]
    /// Who may read it and need not, such as `everybody`; nil where nobody may.
    let strangers: String?

    /// Reads a file; blocks, and waits for the writer of a pipe.
    init(path: String, byteLimit: Int) throws(Failure) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure(errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure(errno) }

        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while bytes.count <= byteLimit {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw Self.failure(errno)
            }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        guard bytes.count <= byteLimit else {
            throw Failure(reason: "it is larger than \(byteLimit >> 10) KiB")
        }
        self.bytes = bytes
        strangers = Self.strangers(status)
    }

    private static func failure(_ code: Int32) -> Failure {
        Failure(reason: String(cString: strerror(code)))
    }
}

extension BoundedFile {
    /// The bytes as text; throws the place of the first that are not UTF-8.
    func text() throws(Fault) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        // The repaired text differs from the bytes first where they are not UTF-8.
        let repaired = String(decoding: bytes, as: UTF8.self)
        let valid = zip(bytes, repaired.utf8).prefix { $0 == $1 }.count
        let before = YAMLText(String(decoding: bytes[..<valid], as: UTF8.self))
        throw Fault(position: before.end, message: "this is not UTF-8 text")
    }

    /// Who may read a file and need not: everybody, or a group that this process is not in.
    ///
    /// A group of our own is there for reading (0640 root:walrelay), and root is in every one.
    private static func strangers(_ status: stat) -> String? {
        if status.st_mode & S_IROTH != 0 { return "everybody" }
        guard status.st_mode & S_IRGRP != 0, status.st_gid != 0, geteuid() != 0 else { return nil }
        var groups = [gid_t](repeating: 0, count: max(0, Int(getgroups(0, nil))))
        let count = getgroups(Int32(groups.count), &groups)
        groups = Array(groups.prefix(max(0, Int(count)))) + [getegid()]
        return groups.contains(status.st_gid) ? nil : "group \(status.st_gid)"
    }

    /// A warning where somebody may read the secret, a `noun`, in a file that is given for one.
    ///
    /// Blocks on the file system. None for what is no file, or cannot be looked at: whoever reads
    /// it says so.
    static func warning(ofSecretFile path: String, noun: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            let strangers = strangers(status)
        else { return nil }
        return "the \(noun) file \(path) is readable by \(strangers): run chmod 0600, or 0640 "
            + "with a group of walrelay's own"
    }

    /// The absolute path of the directory that a file lies in.
    static func directory(of path: String) -> String {
        let current = FileManager.default.currentDirectoryPath
        let absolute = path.hasPrefix("/") ? path : current + "/" + path
        guard let slash = absolute.lastIndex(of: "/"), slash > absolute.startIndex else {
            return "/"
        }
        return String(absolute[..<slash])
    }
}
