// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ChangeModel
import Foundation
import LibPQ
import Replication
import Settings

/// `--config FILE` or `--conninfo STR`: which server the slots are at.
struct ServerOption: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("The settings file of a task at that server (YAML).", valueName: "file"),
        completion: .yamlFile
    )
    var config: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            A connection string or URI of libpq. Others can read a password that stands in it: \
            PGPASSWORD and ~/.pgpass work as well.
            """,
            valueName: "string"
        )
    )
    var conninfo: String?

    func validate() throws {
        guard (config == nil) != (conninfo == nil) else {
            throw ValidationError("Name the server by either --config FILE or --conninfo STRING.")
        }
    }

    /// How the server is reached; blocks.
    func parameters() throws -> ConnectionParameters {
        if let conninfo { return ConnectionParameters(keywords: ["dbname": conninfo]) }
        let (task, source) = try Settings.loadSource(
            path: config ?? "",
            environment: ProcessInfo.processInfo.environment
        )
        return try source.parameters(of: task)
    }
}

/// Connects, asks, and turns what PostgreSQL refuses into what an operator is told.
///
/// Runs on a thread of its own, since libpq blocks.
func asking<Answer: Sendable>(
    _ parameters: ConnectionParameters,
    _ action: String,
    _ question: @escaping @Sendable (borrowing Connection) throws -> Answer
) async throws -> Answer {
    try await onOwnThread(named: "ask") {
        do {
            let connection = try Connection.open(parameters)
            let version = Prerequisites.version(connection.serverVersion)
            guard version.level != .failed else {
                throw WalrelayError(
                    version.id,
                    exit: .prerequisite,
                    "The server is PostgreSQL \(version.found)",
                    hint: version.mend
                )
            }
            return try question(connection)
        } catch let error as PostgresError {
            throw WalrelayError(error, while: "\(action) at \(parameters.destination)")
        }
    }
}
