// SPDX-License-Identifier: Apache-2.0
//
// How a test speaks to its cluster without any code of the product: the server's own programs.
extension PostgresCluster {
    /// A libpq connection string over TCP.
    public func conninfo(
        database: String = "postgres",
        user: String = "postgres",
        password: String? = nil
    ) -> String {
        let secret = password.map { " password='\($0)'" } ?? ""
        return "host=\(host) port=\(port) dbname=\(database) user=\(user)\(secret)"
    }

    /// A libpq connection string over the Unix socket.
    public func socketConninfo(database: String = "postgres", user: String = "postgres") -> String {
        "host=\(socketDirectory) port=\(port) dbname=\(database) user=\(user)"
    }

    /// The path of one of this version's programs, such as `pgbench`.
    public func program(_ name: String) -> String { version.program(name) }

    /// What its programs need to reach this cluster as superuser.
    public var environment: [String: String] {
        var variables = version.environment
        variables["PGHOST"] = socketDirectory
        variables["PGPORT"] = "\(port)"
        variables["PGUSER"] = superuser
        return variables
    }

    /// Runs SQL through psql and gives its rows, one a line, columns split by `|`.
    ///
    /// Stops at the first error and throws what psql said. Each statement commits on its own.
    @discardableResult
    public func psql(
        _ sql: String,
        database: String = "postgres",
        limit: Duration = .seconds(120)
    ) throws -> String {
        let output = try runProcess(
            program("psql"),
            ["-AtXq", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"],
            input: sql,
            environment: environment,
            limit: limit
        )
        guard output.status == .code(0) else {
            throw SupportError("psql ended with \(output.status): \(output.stderr)")
        }
        return output.stdout.hasSuffix("\n") ? String(output.stdout.dropLast()) : output.stdout
    }

    /// Creates a database, as UTF-8 unless another encoding is asked for, and gives its name.
    @discardableResult
    public func createDatabase(_ name: String, encoding: String = "UTF8") throws -> String {
        try psql(#"CREATE DATABASE "\#(name)" TEMPLATE template0 ENCODING '\#(encoding)'"#)
        return name
    }

    /// Runs another of its programs to the end; the status is the caller's to judge.
    public func run(
        _ name: String,
        _ arguments: [String] = [],
        limit: Duration = .seconds(300)
    ) throws -> ProcessOutput {
        try runProcess(program(name), arguments, environment: environment, limit: limit)
    }

    /// Starts another of its programs, such as a load of pgbench; it is killed when released.
    public func spawn(_ name: String, _ arguments: [String] = []) throws -> ChildProcess {
        try ChildProcess(program(name), arguments, environment: environment)
    }
}
