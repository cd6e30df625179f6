// SPDX-License-Identifier: Apache-2.0
//
// What the records of a job become on the target: the table and its columns as the server knows
// them, the statement, the size of a batch.

import ChangeModel
import LibPQ
import Settings

/// A column that is written.
struct WrittenColumn: Sendable, Equatable {
    var name: String
    /// The type's OID.
    var typeOID: UInt32
    /// The type with its modifier, for people.
    var typeName: String
    /// The type without its modifier, qualified: an assignment checks the modifier as INSERT does.
    var castType: String
    /// Whether it is GENERATED ALWAYS AS IDENTITY.
    var isAlwaysIdentity: Bool
    /// The schema of the operators that compare its values, quoted.
    var operators = "pg_catalog"

    /// Its name for SQL.
    var quoted: String { SQL.identifier(name) }
}

/// How records are written.
struct WritePlan: Sendable {
    /// Bytes of a statement's batch where the job does not say.
    ///
    /// A channel holds two of them, one also in the form in which it is sent, and some channels
    /// have to fit into the process's memory together.
    private static let statementBytes = 1 << 20
    /// The same of a COPY.
    ///
    /// Each COPY costs the server half a millisecond: with one for each MiB a copy takes 20 % longer
    /// than with 8, and above that nothing more is gained.
    private static let copyBytes = (least: 1 << 20, most: 8 << 20)
    /// What the batches of all channels' COPYs may take together.
    private static let copyBytesInAll = 12 << 20
    /// Rows of a statement where the job does not say, as DataX has it.
    private static let statementRows = 1024
    /// What a statement may take at most, well below the server's own limit of 1 GiB a value.
    private static let largestBatch = 256 << 20

    /// What is gathered before it is written: more gains nothing, and with less the target's
    /// backend wakes up more often.
    static let writeBytes = 128 << 10

    /// The table's name for SQL, qualified.
    var table: String
    /// The table's name for people.
    var tableName: String
    /// Whether the document's name for it means it in SQL, too.
    var isFoundAsWritten: Bool
    var columns: [WrittenColumn]
    var mode: Job.PostgreSQLWriter.Mode
    var format: CopyFormat
    /// COPY … FROM STDIN, or a statement that takes a text[] for each column.
    var statement: String
    /// COPY in text, for records that are batches by themselves, where it does what `statement`
    /// does: it takes them in slices, and needs no memory of their size.
    var largeStatement: String?
    /// The expression of each column's value in a statement, of `u.c1` and so on.
    var values: [String]
    /// The most rows of a batch.
    var batchRows: Int
    /// The most bytes of a batch, but for its last row.
    var batchBytes: Int

    /// Bytes of a batch after which what it holds is handed on while it is being filled.
    var streamBytes: Int { mode == .copy ? Self.writeBytes : .max }

    init(
        table: TargetRelation,
        columns: [WrittenColumn],
        step: Job.PostgreSQLWriter,
        channels: Int,
        format: CopyFormat,
        statement: String,
        values: [String]
    ) {
        self.table = table.qualified
        tableName = table.description
        isFoundAsWritten = table.isFoundAsWritten
        self.columns = columns
        mode = step.mode
        self.format = format
        self.statement = statement
        self.values = values
        let isCopy = step.mode == .copy
        batchRows = step.batchRows ?? (isCopy ? .max : Self.statementRows)
        let share = Self.copyBytesInAll / max(1, channels)
        let standard =
            isCopy
            ? min(max(share, Self.copyBytes.least), Self.copyBytes.most) : Self.statementBytes
        batchBytes = min(step.batchBytes ?? standard, Self.largestBatch)
    }
}
