// SPDX-License-Identifier: Apache-2.0

public import ChangeModel

/// What the settings decide about changes that cannot be followed.
public struct StreamPolicy: Sendable, Equatable {
    /// What to do with a TRUNCATE.
    public enum OnTruncate: Sendable {
        /// Refuse it: stop before its transaction.
        case stop
        /// Leave it out.
        case ignore
        /// Hand it to the sink.
        case apply
    }

    /// What to do with a TRUNCATE.
    public var onTruncate: OnTruncate
    /// Commit positions of transactions whose schema changes the operator has accepted.
    public var acceptedDDL: Set<LSN>
    /// Names that tables, by their OIDs, may take in the course of the stream.
    ///
    /// The former name stays right until the stream says the new one.
    public var acceptedNames: [UInt32: TableName] = [:]
    /// Whether changes of rows that are not copied yet are handed over as they come.
    ///
    /// For a sink in which rows of an unfinished snapshot are seen.
    public var takesUncopied = false

    /// Creates a policy; by default everything that cannot be followed is refused.
    public init(onTruncate: OnTruncate = .stop, acceptedDDL: Set<LSN> = []) {
        self.onTruncate = onTruncate
        self.acceptedDDL = acceptedDDL
    }
}
