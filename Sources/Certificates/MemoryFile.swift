// SPDX-License-Identifier: Apache-2.0
//
// A file that no disk holds, for what libpq takes by a path only: a key that was decrypted must not
// lie anywhere. It has a path within this process for as long as the last reference lives.

import COpenSSL
import ChangeModel
import Glibc

/// A file in memory, mode 0600, that programs started from here do not inherit.
final class MemoryFile: Sendable {
    private let descriptor: Int32

    /// The path by which this process opens it.
    var path: String { "/proc/self/fd/\(descriptor)" }

    /// Makes a file and has it written; `origin` is named in an error.
    ///
    /// Throws `tls.memory_file`.
    init(from origin: String, _ write: (Int32) -> Bool) throws(WalrelayError) {
        descriptor = walrelay_memory_file("walrelay-tls")
        guard descriptor >= 0 else { throw FileFault.noMemoryFile(origin, errno) }
        guard fchmod(descriptor, 0o600) == 0, write(descriptor), access(path, R_OK) == 0 else {
            throw FileFault.noMemoryFile(origin, errno)
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}
