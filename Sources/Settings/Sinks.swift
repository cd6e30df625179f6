// SPDX-License-Identifier: Apache-2.0
//
// Where changes go: one case a kind of sink, with that kind's own section.

extension Settings {
    /// `sink`: where changes go.
    public enum Sink: Sendable, Equatable {
        /// The names of the kinds.
        public enum Kind: String, Sendable, CaseIterable {
            /// Files of one JSON object a line.
            case ndjson
            /// Lines on standard output.
            case stream
            /// Tables of another PostgreSQL server.
            case postgresql
            /// Topics of a Kafka cluster.
            case kafka
        }

        /// Files of one JSON object a line.
        case ndjson(NDJSON)
        /// Lines on standard output.
        case stream
        /// Tables of another PostgreSQL server.
        case postgresql(PostgreSQL)
        /// Topics of a Kafka cluster.
        case kafka(Kafka)

        /// The kind's name.
        public var kind: Kind {
            switch self {
            case .ndjson: .ndjson
            case .stream: .stream
            case .postgresql: .postgresql
            case .kafka: .kafka
            }
        }
    }
}

extension Settings.Sink {
    /// `sink.ndjson`: files of one JSON object a line.
    public struct NDJSON: Sendable, Equatable {
        /// The directory of the files and of the checkpoint; an absolute path.
        public var directory: String
        /// The bytes after which a file is sealed, 4 KiB to 1 TiB.
        public var rotate = 256 << 20

        /// Creates the section with defaults.
        public init(directory: String) {
            self.directory = directory
        }
    }

    /// `sink.postgresql`: tables of another PostgreSQL server.
    public struct PostgreSQL: Sendable, Equatable {
        /// The schema that tables are written to.
        public enum Schema: Sendable, Equatable {
            /// Each table's own.
            case same
            /// One for all, as the catalog spells it.
            case named(String)
        }

        /// Which indexes and constraints of the source are made.
        public enum Indexes: String, Sendable, CaseIterable {
            /// The key only.
            case none
            /// All that can be made, once the rows are there.
            case afterSnapshot
        }

        /// What a snapshot does with a table that holds rows already.
        public enum NotEmpty: String, Sendable, CaseIterable {
            /// Refuse before anything is made.
            case refuse
            /// Empty it first.
            case truncate
            /// Insert rows, or overwrite those with the same key.
            case merge
        }

        /// What is done with a row that the server refuses.
        public enum RowError: String, Sendable, CaseIterable {
            /// Stop before its transaction, exit 65.
            case stop
            /// Put it into walrelay.dead_letter and go on.
            case deadLetter
        }

        /// The server that is written to.
        public var connection: Settings.Connection
        /// The schema that tables are written to.
        public var schema = Schema.same
        /// Whether missing tables are created.
        public var createTables = true
        /// Which indexes and constraints tables get besides their key.
        public var indexes = Indexes.none
        /// What a snapshot does with a table that holds rows already.
        public var ifNotEmpty = NotEmpty.refuse
        /// What is done with a row that the server refuses.
        public var onRowError = RowError.stop

        /// Creates the section with defaults.
        public init(connection: Settings.Connection) {
            self.connection = connection
        }
    }
}
