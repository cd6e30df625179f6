// SPDX-License-Identifier: Apache-2.0

/// A record that could not be passed on or written.
public struct DirtyRecord: Sendable, Equatable {
    /// Who refused it.
    public enum Side: String, Sendable {
        /// The reader: it cannot be passed on.
        case reader
        /// The writer: the target does not take it.
        case writer
    }

    /// Who refused it.
    public var side: Side
    /// The SQLSTATE; empty where no server was asked.
    public var sqlState: String
    /// Why, in one line.
    public var reason: String
    /// Its values as text, `nil` for NULL, in the order of the columns.
    public var values: [String?]

    /// Creates a dirty record.
    public init(side: Side, sqlState: String, reason: String, values: [String?]) {
        self.side = side
        self.sqlState = sqlState
        self.reason = reason
        self.values = values
    }
}
