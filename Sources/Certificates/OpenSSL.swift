// SPDX-License-Identifier: Apache-2.0
//
// How this room calls OpenSSL, which nothing else does: bytes are lent to it, texts are copied from
// it, and it never asks a terminal for a password.

import COpenSSL

enum OpenSSL {
    /// Lends a reader of the bytes; nil where there is no memory for one.
    static func reading<Result>(
        _ bytes: UnsafeRawBufferPointer,
        _ body: (OpaquePointer) -> Result?
    ) -> Result? {
        ERR_clear_error()
        guard let reader = BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count)) else {
            return nil
        }
        defer { BIO_free(reader) }
        return body(reader)
    }

    /// What is printed, at most so many bytes of it.
    static func text(limit: Int = 512, _ print: (OpaquePointer) -> Void) -> String {
        guard let writer = BIO_new(BIO_s_mem()) else { return "" }
        defer { BIO_free(writer) }
        print(writer)
        var start: UnsafeMutablePointer<CChar>?
        let count = walrelay_bio_data(writer, &start)
        guard let start, count > 0 else { return "" }
        let bytes = UnsafeRawBufferPointer(start: start, count: min(count, limit))
        // A certificate is anybody's text: it must not steer a terminal or begin a line of a log.
        return String(decoding: bytes, as: UTF8.self).filter { character in
            character.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
        }
    }

    /// Writes to a descriptor, which stays open; false where not all could be written.
    static func writing(to descriptor: Int32, _ body: (OpaquePointer) -> Bool) -> Bool {
        guard let writer = BIO_new_fd(descriptor, BIO_NOCLOSE) else { return false }
        defer { BIO_free(writer) }
        return body(writer)
    }
}
