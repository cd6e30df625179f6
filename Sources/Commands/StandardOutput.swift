// SPDX-License-Identifier: Apache-2.0
//
// What a command prints at once, however large: whole, before it goes on, and without a trap where
// the reader has gone or the disk is full.

import ChangeModel
import Glibc

/// The process's standard output.
enum StandardOutput {
    /// Writes all of the text, after what `print` still holds back.
    ///
    /// Blocks while the reader is slow. Throws `output.closed`, exit 0, where it has gone: `head`
    /// has seen what it wanted; and `output.failed`, exit 75, on a full disk.
    static func write(_ text: String) throws(WalrelayError) {
        try write(Array(text.utf8))
    }

    /// Writes all of the bytes; see ``write(_:)-(String)``.
    static func write(_ bytes: [UInt8]) throws(WalrelayError) {
        fflush(nil)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count)
            }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                throw failure(errno)
            }
        }
    }

    private static func failure(_ code: Int32) -> WalrelayError {
        guard code != EPIPE else {
            return WalrelayError(
                "output.closed",
                exit: .success,
                "The reader of the output has gone"
            )
        }
        return WalrelayError(
            "output.failed",
            exit: .unreachable,
            "Standard output cannot be written to: \(String(cString: strerror(code)))",
            hint: "make room there, or send it to another place"
        )
    }
}
