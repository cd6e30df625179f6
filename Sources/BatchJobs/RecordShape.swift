// SPDX-License-Identifier: Apache-2.0
//
// What goes through a channel: rows of COPY, as they come from a server, in one of COPY's two
// formats. Nothing is decoded on the way unless a writer has to.

/// One value of every record.
public struct RecordColumn: Sendable, Equatable {
    /// The name that the reader's statement gives it; for people.
    public var name: String
    /// The OID of its type; 0 where the values are text that has no type yet.
    public var typeOID: UInt32
    /// The type in the server's words, such as `numeric(10,2)`; for people.
    public var typeName: String

    /// Creates a column.
    public init(name: String, typeOID: UInt32, typeName: String) {
        self.name = name
        self.typeOID = typeOID
        self.typeName = typeName
    }
}

/// The columns of a job's records, and the formats in which they can be read.
public struct RecordShape: Sendable, Equatable {
    /// The columns, in their order; none where there are no records.
    public var columns: [RecordColumn]
    /// Whether the source can give the records in COPY's binary format as well.
    public var allowsBinary: Bool

    /// Creates a shape.
    public init(columns: [RecordColumn], allowsBinary: Bool) {
        self.columns = columns
        self.allowsBinary = allowsBinary
    }
}

/// A record as it goes from a reader to a writer; lent for the length of a call.
///
/// In text: a line of COPY's text format with its newline. In binary: a tuple of COPY's binary
/// format, from its 16 bit count of fields on, without the stream's header and trailer.
public typealias Record = UnsafeRawBufferPointer
