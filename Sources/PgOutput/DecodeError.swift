// SPDX-License-Identifier: Apache-2.0
//
// The one error of this room: what was being read, at which byte, and what stood there instead.
// Offsets count from the first byte that the caller handed in. Values of rows never appear in
// it, so it may be printed and served as it is.

public import ChangeModel

/// Bytes that are not what the protocol says they must be.
public struct DecodeError: Error, Sendable, Equatable {
    /// What was being decoded.
    public enum Subject: Sendable, Equatable {
        /// A frame of the streaming replication protocol.
        case frame
        /// A message of pgoutput; the payload is its first byte, 0 where there was none.
        case message(UInt8)
        /// One row of COPY in text format.
        case copyRow
        /// A decoded tuple that is held against its relation.
        case tuple
    }

    /// What was being decoded.
    public var subject: Subject
    /// What should have stood at `offset`.
    public var expected: String
    /// What stood there.
    public var found: String
    /// The byte at which the fault begins, from 0; equal to `length` where bytes are missing.
    public var offset: Int
    /// The length of the whole input in bytes.
    public var length: Int

    /// Creates an error.
    public init(subject: Subject, expected: String, found: String, offset: Int, length: Int) {
        self.subject = subject
        self.expected = expected
        self.found = found
        self.offset = offset
        self.length = length
    }
}

extension DecodeError: CustomStringConvertible {
    /// One line: `insert message of 9 bytes: expected …, found … at byte 7`.
    public var description: String {
        "\(subject) of \(length) bytes: expected \(expected), found \(found) at byte \(offset)"
    }
}

extension DecodeError.Subject: CustomStringConvertible {
    /// The subject's name: `insert message`.
    public var description: String {
        switch self {
        case .frame: "replication frame"
        case .message(let kind): "\(MessageKind.name(kind)) message"
        case .copyRow: "COPY row"
        case .tuple: "tuple"
        }
    }
}

extension DecodeError {
    /// The error that reaches the operator, for bytes of the stream.
    ///
    /// `lsn` is the position that the frame carried, or the last one known.
    public func walrelayError(at lsn: LSN) -> WalrelayError {
        WalrelayError(
            "stream.malformed",
            exit: .internalError,
            "The server's stream cannot be decoded at \(lsn): \(self)",
            hint: "start again to read it anew from the checkpoint; if it comes back, "
                + "report this line with the server's version"
        )
    }

    /// The error that reaches the operator, for a row that the snapshot read of a table.
    public func walrelayError(copying table: String) -> WalrelayError {
        WalrelayError(
            "snapshot.malformed",
            exit: .internalError,
            "A row that COPY sent of \(table) cannot be decoded: \(self)",
            hint: "start again to take the snapshot anew; if it comes back, "
                + "report this line with the server's version"
        )
    }
}
