// SPDX-License-Identifier: Apache-2.0
//
// What a log with keys (Kafka) is given for a change: where in an `OutputBuffer` the bytes of its
// records stand.

/// How records are made.
public struct RecordForm: Sendable, Equatable {
    /// Whether keys and values are `{"schema":…,"payload":…}`.
    public var schemas: Bool
    /// Whether a delete is followed by a record without a value.
    public var tombstones: Bool
    /// What the schemas' names begin with, `<prefix>.<schema>.<table>.Envelope`.
    public var topicPrefix: String

    /// Creates a form.
    public init(topicPrefix: String, schemas: Bool = false, tombstones: Bool = true) {
        self.topicPrefix = topicPrefix
        self.schemas = schemas
        self.tombstones = tombstones
    }
}

/// One record: ranges of the buffer that it was encoded into.
public struct EventRecord: Sendable, Equatable {
    /// What a record tells besides key and value.
    public enum Header: Sendable, Equatable {
        /// Nothing.
        case none
        /// `__debezium.newkey`, on the delete of a row that has got another key: that key.
        case newKey(Range<Int>)
        /// `__debezium.oldkey`, on the insert of that row: the key that it had.
        case oldKey(Range<Int>)
    }

    /// The change's index in its batch.
    public var change: Int
    /// The key; `nil` for a TRUNCATE, which is of no row.
    public var key: Range<Int>?
    /// The event; `nil` for a tombstone.
    public var value: Range<Int>?
    /// What the record tells besides.
    public var header: Header
    /// Whether the key is not of the row but the change's place in the total order.
    public var isKeyless: Bool
}
