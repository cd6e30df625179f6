// SPDX-License-Identifier: Apache-2.0
//
// A batch job as its document describes it, whichever of the two shapes the document has:
// DataWorks' `steps`, or DataX's `job.content`. Nothing is connected to yet: what a table, a
// column or a statement means is for the server to say.

/// A batch job: one reader, one writer, and how they work.
public struct Job: Sendable {
    /// Where the rows come from.
    public enum Reader: Sendable {
        /// Tables or queries of a PostgreSQL.
        case postgresql(PostgreSQLReader)
        /// Rows that are made up.
        case stream(StreamReader)
    }

    /// Where the rows go.
    public enum Writer: Sendable {
        /// A table of a PostgreSQL.
        case postgresql(PostgreSQLWriter)
        /// Standard output, or nowhere.
        case stream(StreamWriter)
    }

    /// Where the rows come from.
    public var reader: Reader
    /// Where the rows go.
    public var writer: Writer
    /// How many dirty records are allowed.
    public var errorLimit = ErrorLimit()
    /// How fast, and with how many channels.
    public var speed = Speed()
    /// The file that takes every dirty record in full; nil for none.
    public var dirtyRecordsFile: String?
    /// Sentences for the operator, such as which keys of the document do nothing here.
    public var warnings: [String] = []
    /// Where the document first names each datasource: `FILE:LINE:COLUMN: path of the key`.
    public var datasourcePlaces: [String: String] = [:]

    /// Creates a job that allows any number of dirty records and has one channel.
    public init(reader: Reader, writer: Writer) {
        self.reader = reader
        self.writer = writer
    }
}

extension Job {
    /// `errorLimit`; a limit that is not given is none.
    public struct ErrorLimit: Sendable, Equatable {
        /// The most dirty records; 0 allows none.
        public var records: Int?
        /// The largest share of dirty records among those that were read, 0 to 1.
        public var share: Double?

        /// No limit.
        public init() {}
    }

    /// `speed`; a rate that is not given is unbounded.
    public struct Speed: Sendable, Equatable {
        /// How many channels work at the same time, each with a reader and a writer; at least 1.
        public var channels = 1
        /// Bytes a second, all channels together; at least 1.
        public var bytesPerSecond: Int?
        /// Records a second, all channels together; at least 1.
        public var recordsPerSecond: Int?

        /// One channel, no bounds.
        public init() {}
    }

    /// How a step's PostgreSQL is reached.
    public enum Server: Sendable, Equatable {
        /// By the name of a datasource.
        case datasource(String)
        /// As the step itself says (DataX's `jdbcUrl`, `username`, `password`).
        case connection(Settings.Connection)
    }

    /// A step that reads a PostgreSQL.
    public struct PostgreSQLReader: Sendable {
        /// What is read.
        public enum Content: Sendable, Equatable {
            /// Columns of tables.
            case tables(Tables)
            /// The results of statements, at least one; each is read by one channel.
            case queries([String])
        }

        /// Columns of tables or views.
        public struct Tables: Sendable, Equatable {
            /// Names as the document gives them, at least one: `orders`, `public.wpw_test`,
            /// `"123Test"`.
            public var names: [String]
            /// Columns as the document gives them, at least one: names, `*`, constants,
            /// expressions.
            public var columns: [String]
            /// A condition in SQL, never empty.
            public var condition: String?
            /// The column by whose values a table is divided, never empty.
            public var splitKey: String?

            /// All columns and rows of some tables.
            public init(names: [String], columns: [String] = ["*"]) {
                self.names = names
                self.columns = columns
            }
        }

        /// How the server is reached.
        public var server: Server
        /// What is read.
        public var content: Content
        /// Rows a round trip of a cursor; nil has the server stream its rows.
        public var fetchSize: Int?

        /// Creates a step.
        public init(server: Server, content: Content) {
            self.server = server
            self.content = content
        }
    }

    /// A step that writes into a table of a PostgreSQL.
    public struct PostgreSQLWriter: Sendable {
        /// How rows are written.
        public enum Mode: String, Sendable, CaseIterable {
            /// INSERT; a row whose key is there already is a dirty record.
            case insert
            /// COPY; otherwise as insert.
            case copy
            /// INSERT … ON CONFLICT (uniqueKey) DO UPDATE.
            case upsert
            /// UPDATE of the rows that uniqueKey finds.
            case update
        }

        /// How the server is reached.
        public var server: Server
        /// The table's name as the document gives it.
        public var table: String
        /// Columns as the document gives them, at least one; `*` stands for all.
        public var columns: [String]
        /// How rows are written.
        public var mode = Mode.insert
        /// The columns that find a row, for upsert and update; empty otherwise.
        public var uniqueKey: [String] = []
        /// Statements that run before the first row.
        public var preSQL: [String] = []
        /// Statements that run after the last row.
        public var postSQL: [String] = []
        /// The most rows of a batch; nil leaves it to the mode.
        public var batchRows: Int?
        /// The most bytes of a batch, but for its last row; nil leaves it to the mode.
        public var batchBytes: Int?
        /// The types that values are cast to, by column, as the document spells both.
        public var types: [String: String] = [:]

        /// Creates a step that inserts.
        public init(server: Server, table: String, columns: [String]) {
            self.server = server
            self.table = table
            self.columns = columns
        }
    }

    /// A step that makes rows up.
    public struct StreamReader: Sendable {
        /// A value of each row.
        public struct Column: Sendable, Equatable {
            /// The types of the document.
            public enum Kind: String, Sendable, CaseIterable {
                case string, long, double, bool, date, bytes
            }

            /// What the value is.
            public enum Value: Sendable, Equatable {
                /// The same text in each row, of its kind and as PostgreSQL takes it (of bytes
                /// the text whose UTF-8 they are); nil is NULL.
                case constant(String?)
                /// Evenly distributed between two bounds, both included; of a string and of bytes
                /// the length, of a date milliseconds since 1970 (UTC), of a bool the weights of
                /// false and true.
                case random(ClosedRange<Int64>)
            }

            /// The value's type.
            public var kind: Kind
            /// What it is.
            public var value: Value

            /// Creates a column.
            public init(kind: Kind, value: Value) {
                self.kind = kind
                self.value = value
            }
        }

        /// What stands in each row; may be empty, then there are no rows.
        public var columns: [Column]
        /// How many rows each channel makes.
        public var rowsPerChannel: Int

        /// Creates a step.
        public init(columns: [Column], rowsPerChannel: Int) {
            self.columns = columns
            self.rowsPerChannel = rowsPerChannel
        }
    }

    /// A step that prints rows, or throws them away.
    public struct StreamWriter: Sendable {
        /// Whether rows are printed to standard output.
        public var prints = false
        /// What stands between the values of a printed row.
        public var delimiter = "\t"

        /// Creates a step that throws its rows away.
        public init() {}
    }
}
