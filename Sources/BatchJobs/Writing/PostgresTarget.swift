// SPDX-License-Identifier: Apache-2.0
//
// A table of a PostgreSQL as the end of a job: looked at before anything is written, and again
// after preSql, which may have made it.

public import ChangeModel
public import LibPQ
public import Settings
import Synchronization

/// The target of a job that writes into a PostgreSQL.
public final class PostgresTarget: RecordTarget {
    private struct State: Sendable {
        var plan: WritePlan?
        var warnings: [String] = []
    }

    private let step: Job.PostgreSQLWriter
    private let server: ConnectionParameters
    private let shape: RecordShape
    private let context: JobContext
    private let state = Mutex(State())

    /// Connects and looks at the table; changes nothing, and keeps no connection.
    ///
    /// Blocks. Throws `WalrelayError`: what is wrong with the step shows here, but for what
    /// statements of preSql may still mend.
    public init(
        _ step: Job.PostgreSQLWriter,
        server: ConnectionParameters,
        shape: RecordShape,
        context: JobContext
    ) throws {
        self.step = step
        self.server = server
        self.shape = shape
        self.context = context
        let connection = try TargetConnection.open(server, stop: context.stop)
        do {
            try look(on: connection)
        } catch let error as WalrelayError {
            guard error.exit == .settings, preSQL.mayDefine else { throw error }
            state.withLock { $0.warnings.append("until preSql has run: \(error.message)") }
        }
    }

    /// The format in which the records are wanted; valid once `begin` has returned.
    public var format: CopyFormat { state.withLock { $0.plan?.format ?? .text } }

    /// Statements before, for a batch, and after.
    public var plan: [String] {
        let plan = state.withLock { $0.plan }
        var lines = preSQL.statements.map { "preSql: \($0)" }
        if let plan {
            let rows = plan.batchRows == .max ? "" : "\(plan.batchRows) records or "
            lines.append(
                "write into \(plan.tableName) of \(server.destination), a transaction for each "
                    + "\(rows)\(Prose.bytes(Int64(plan.batchBytes))): \(plan.statement)"
            )
        } else {
            lines.append(
                "write into \(step.table) of \(server.destination), which is looked at after preSql"
            )
        }
        return lines + postSQL.statements.map { "postSql: \($0)" }
    }

    /// Sentences for the operator, found while the target was looked at.
    public var warnings: [String] { state.withLock { $0.warnings } }

    /// Runs preSql and looks at the table that is there after it.
    public func begin() throws {
        let connection = try TargetConnection.open(server, stop: context.stop)
        try preSQL.run(on: connection, server.destination)
        try look(on: connection)
    }

    /// Opens a writer with a connection of its own.
    public func open() throws -> any RecordWriter {
        guard let plan = state.withLock({ $0.plan }) else {
            throw WalrelayError(
                "job.inconsistent",
                exit: .internalError,
                "a writer is opened before the target was looked at",
                hint: "report this as a defect with the job file"
            )
        }
        return try PostgresWriter(plan, server: server, shape: shape, context: context)
    }

    /// Runs postSql.
    public func finish() throws {
        guard !step.postSQL.isEmpty else { return }
        let connection = try TargetConnection.open(server, stop: context.stop)
        try postSQL.run(on: connection, server.destination)
    }

    private var preSQL: JobStatements { statements("preSql", step.preSQL) }
    private var postSQL: JobStatements { statements("postSql", step.postSQL) }

    private func statements(_ parameter: String, _ statements: [String]) -> JobStatements {
        let found = state.withLock { $0.plan }
        // A name that only its exact spelling finds would not be found in a statement.
        let table = found.flatMap { $0.isFoundAsWritten ? nil : $0.table } ?? step.table
        return JobStatements(parameter, statements, table: table)
    }

    private func look(on connection: borrowing Connection) throws {
        var warnings = connection.protectionWarnings(at: "writer")
        let encoding = connection.parameterStatus("server_encoding") ?? ""
        if encoding == "SQL_ASCII" {
            warnings.append(
                "the target \(server.destination) has the encoding SQL_ASCII: it keeps text as the "
                    + "UTF-8 bytes that it is given, and checks nothing"
            )
        }
        let inspection = TargetInspection(
            step: step,
            shape: shape,
            channels: context.channels,
            destination: server.destination
        )
        guard let found = try inspection.plan(on: connection) else {
            throw inspection.missingTable(on: connection)
        }
        state.withLock { state in
            state.plan = found.plan
            state.warnings = warnings + found.warnings
        }
    }
}
