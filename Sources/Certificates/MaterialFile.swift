// SPDX-License-Identifier: Apache-2.0
//
// The bytes of one file of certificates or of a key, never more than a stated number of them, and
// whose it is. What a file is for stands in every error about it.

import COpenSSL
import ChangeModel
import Glibc

/// What a file is there for; the noun by which errors call it.
public enum Purpose: String, Sendable, CaseIterable {
    /// The authorities that a server's certificate is verified by.
    case authorities = "root certificate"
    /// Certificates that an authority has taken back.
    case revocations = "revocation list"
    /// The certificate that the client shows.
    case certificate = "client certificate"
    /// The key of the client's certificate.
    case key = "client key"

    /// The most bytes that such a file may have.
    var byteLimit: Int {
        switch self {
        case .revocations: 16 << 20
        case .authorities: 4 << 20
        case .certificate, .key: 1 << 20
        }
    }
}

/// A file's bytes, which may be a key: they are wiped with the last reference.
final class MaterialFile {
    let purpose: Purpose
    let path: String
    private let storage: UnsafeMutableRawBufferPointer
    private let count: Int
    private let owner: uid_t
    private let mode: mode_t

    /// Reads a regular file; blocks.
    ///
    /// Throws `tls.file_unreadable`.
    init(_ path: String, as purpose: Purpose) throws(WalrelayError) {
        self.purpose = purpose
        self.path = path
        // Of a pipe nobody may write to, opening would wait; and it could be read only once.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw FileFault.unreadable(path, purpose, errno) }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else {
            throw FileFault.unreadable(path, purpose, errno)
        }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw FileFault.unreadable(path, purpose, "it is not a regular file")
        }
        let limit = purpose.byteLimit
        guard facts.st_size > 0 else {
            throw FileFault.unreadable(path, purpose, "it is empty")
        }
        guard facts.st_size <= limit else {
            throw FileFault.unreadable(path, purpose, "it is larger than \(limit >> 10) KiB")
        }
        let storage = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Int(facts.st_size),
            alignment: 16
        )
        var count = 0
        var failure: Int32 = 0
        while count < storage.count {
            guard let start = storage.baseAddress else { break }
            let taken = read(descriptor, start + count, storage.count - count)
            if taken < 0, errno == EINTR { continue }
            if taken < 0 { failure = errno }
            if taken <= 0 { break }
            count += taken
        }
        (self.storage, self.count) = (storage, count)
        (owner, mode) = (facts.st_uid, facts.st_mode)
        guard failure == 0, count > 0 else {
            throw failure == 0
                ? FileFault.unreadable(path, purpose, "it is empty")
                : FileFault.unreadable(path, purpose, failure)
        }
    }

    deinit {
        OPENSSL_cleanse(storage.baseAddress, storage.count)
        storage.deallocate()
    }

    /// Lends the bytes.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(storage)[..<count])
    }

    /// Whether it holds a block of PEM; all else is taken for DER.
    var isPEM: Bool { contains("-----BEGIN ") }

    /// Whether the bytes of a text stand somewhere in it.
    func contains(_ text: StaticString) -> Bool {
        memmem(storage.baseAddress, count, text.utf8Start, text.utf8CodeUnitCount) != nil
    }

    /// Whether somebody may read the file who should not, by the rule that libpq has for keys.
    ///
    /// A key of root's may be readable by its group, so that one key can serve several programs.
    var isOpenToOthers: Bool {
        let forbidden =
            owner == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO
        return mode & forbidden != 0
    }

    /// The permissions as `ls` and `chmod` number them.
    var permissions: String { "0" + String(mode & 0o7777, radix: 8) }
}
