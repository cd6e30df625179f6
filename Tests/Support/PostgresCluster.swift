// SPDX-License-Identifier: Apache-2.0
//
// A private PostgreSQL that a test starts and stops itself: its own data directory, port and
// socket, a non-root user, nothing of the system's. The server is a direct child, so kill and
// crash tests have its pid, and it dies with the test process however that ends.
// An initialised directory is kept per version in /tmp and copied, which takes a tenth of the
// second that initdb takes.
public import Foundation
import Glibc
import Synchronization

/// A running or stopped server; it is stopped and its data deleted when the last reference goes.
public final class PostgresCluster: Sendable {
    /// How `stop` and `restart` end the server.
    public enum StopMode: Sendable {
        /// Disconnects the clients and writes a shutdown checkpoint.
        case fast
        /// As a crash would: the next start recovers from WAL.
        case immediate
    }

    /// How connections over 127.0.0.1 prove who they are; the superuser's socket never has to.
    public enum Authentication: Sendable {
        /// Nobody is asked.
        case trust
        /// Passwords by SCRAM.
        case scram
        /// Passwords by MD5.
        case md5
        /// By this method, and over TLS only.
        case hostssl(String)
        /// The text of pg_hba.conf that follows the superuser's two socket lines.
        case hba(String)

        var text: String {
            let socket = "local all postgres trust\nlocal replication postgres trust\n"
            return switch self {
            case .trust: socket + Self.lines("trust")
            case .scram: socket + Self.lines("scram-sha-256")
            case .md5: socket + Self.lines("md5")
            case .hostssl(let method): socket + "hostssl all all 127.0.0.1/32 \(method)\n"
            case .hba(let text): socket + text + "\n"
            }
        }

        private static func lines(_ method: String) -> String {
            ["local all all", "local replication all"]
                .map { "\($0) \(method)\n" }.joined()
                + ["host all all", "host replication all"]
                .map { "\($0) 127.0.0.1/32 \(method)\n" }.joined()
        }
    }

    /// The major version.
    public let version: PostgresVersion
    /// Always `postgres`.
    public let superuser = "postgres"
    /// Listens there as well as on the socket.
    public let host = "127.0.0.1"
    /// The TCP port; the same after a restart.
    public let port: Int
    /// The directory of the Unix socket, for `host=`.
    public let socketDirectory: String
    /// The data directory.
    public let dataDirectory: String
    private let running = Mutex<ChildProcess?>(nil)
    private let settings: Mutex<[String: String]>

    private static let alive = Mutex<[ObjectIdentifier: ChildProcess]>([:])

    /// The versions that can be started on this machine; a matrix test takes them as arguments.
    public static let availableVersions = PostgresVersion.available

    /// Starts a new cluster; returns when it accepts connections.
    ///
    /// `settings` are lines of postgresql.conf and win over the defaults here. With `tls` it takes
    /// encrypted connections beside others; the rules of `authentication` say which.
    public static func start(
        version: PostgresVersion = .v15,
        settings: [String: String] = [:],
        authentication: Authentication = .trust,
        tls: ServerTLS? = nil
    ) async throws -> PostgresCluster {
        let settings = (tls == nil ? [:] : ServerTLS.settings).merging(settings) { $1 }
        return try await start(version, settings) { cluster in
            try cluster.write(authentication.text, to: "pg_hba.conf")
            if let tls { try cluster.write(tls) }
        }
    }

    /// `prepare` writes what the server reads at its start.
    private static func start(
        _ version: PostgresVersion,
        _ settings: [String: String],
        prepare: @escaping @Sendable (PostgresCluster) throws -> Void
    ) async throws -> PostgresCluster {
        try await onThread {
            var failure: any Error = SupportError("not tried")
            for _ in 0..<5 {
                do {
                    let cluster = try PostgresCluster(version, settings) { directory in
                        let template = try PostgresTemplate.path(version)
                        let copy = try runProcess("/bin/cp", ["-a", template, directory])
                        guard copy.status == .code(0) else { throw SupportError(copy.stderr) }
                    }
                    try prepare(cluster)
                    try cluster.launch()
                    return cluster
                } catch let error as SupportError {
                    failure = error
                    // Somebody took the port between the look and the bind: another one.
                    guard error.description.contains("Address already in use") else { throw error }
                }
            }
            throw failure
        }
    }

    /// Starts a physical standby of this cluster; returns when it answers queries.
    public func startStandby(settings: [String: String] = [:]) async throws -> PostgresCluster {
        try await onThread {
            let standby = try PostgresCluster(self.version, settings) { directory in
                let backup = try runProcess(
                    self.program("pg_basebackup"),
                    ["-D", directory, "-R", "-X", "stream", "-c", "fast", "--no-sync"],
                    environment: self.environment,
                    owner: .current
                )
                guard backup.status == .code(0) else { throw SupportError(backup.stderr) }
            }
            try standby.launch()
            return standby
        }
    }

    /// `fill` makes the data directory at the path that it is given.
    private init(
        _ version: PostgresVersion,
        _ settings: [String: String],
        fill: (String) throws -> Void
    ) throws {
        guard version.isAvailable else {
            throw SupportError(
                "\(version) is not here: run scripts/fetch-postgres \(version.rawValue)"
            )
        }
        self.version = version
        self.settings = Mutex(settings)
        port = try FreePort.find()
        socketDirectory = try Scratch.directory("p")
        dataDirectory = "\(socketDirectory)/data"
        try ServerOwner.give(socketDirectory)
        try fill(dataDirectory)
    }

    deinit {
        try? stop(mode: .immediate)
        try? FileManager.default.removeItem(atPath: socketDirectory)
    }

    // MARK: Life

    /// The server's process id, or nil while it is stopped.
    public var pid: pid_t? { child?.pid }

    private var child: ChildProcess? {
        running.withLock { child in
            if child?.status() != nil { child = nil }
            return child
        }
    }

    /// Starts it again after `stop` or a crash; returns when it accepts connections.
    public func start() async throws {
        try await onThread { try self.launch() }
    }

    /// Stops the server and waits for its end; without effect when it is stopped.
    ///
    /// Blocks, at most 60 s: fast waits for walsenders to have sent all.
    public func stop(mode: StopMode = .fast) throws {
        guard let child else { return }
        child.signal(mode == .fast ? SIGINT : SIGQUIT)
        guard child.waitBlocking(.seconds(60)) != nil else {
            throw SupportError("the server did not stop within 60 s\n\(log())")
        }
        running.withLock { $0 = nil }
        _ = Self.alive.withLock { $0.removeValue(forKey: ObjectIdentifier(self)) }
    }

    /// Stops and starts, with other settings if any are given.
    public func restart(
        _ mode: StopMode = .fast,
        settings changed: [String: String] = [:]
    ) async throws {
        try await onThread {
            try self.stop(mode: mode)
            self.settings.withLock { $0.merge(changed) { $1 } }
            try self.launch()
        }
    }

    /// Has the server read its configuration again, with settings changed if any are given.
    ///
    /// Takes effect in sessions a moment later: wait with `eventually` for what must hold.
    public func reload(settings changed: [String: String] = [:]) throws {
        settings.withLock { $0.merge(changed) { $1 } }
        try writeSettings()
        running.withLock { $0?.signal(SIGHUP) }
    }

    private func launch() throws {
        guard child == nil else { return }
        try writeSettings()
        let log = open(
            "\(dataDirectory)/server.log",
            O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
            0o644
        )
        defer { close(log) }
        let child = try ChildProcess(
            version.program("postgres"),
            ["-D", dataDirectory],
            environment: version.environment,
            workingDirectory: dataDirectory,
            owner: .current,
            deathSignal: "QUIT",
            stdout: log,
            stderr: log
        )
        running.withLock { $0 = child }
        Self.alive.withLock { $0[ObjectIdentifier(self)] = child }
        let deadline = ContinuousClock.now + .seconds(60)
        while !isReady(child.pid) {
            if let status = child.status() {
                running.withLock { $0 = nil }
                throw SupportError("the server ended with \(status)\n\(self.log())")
            }
            guard ContinuousClock.now < deadline else {
                throw SupportError("the server is not ready after 60 s\n\(self.log())")
            }
            usleep(5_000)
        }
    }

    /// The eighth line of postmaster.pid says what the server is at, the first whose file it is.
    private func isReady(_ pid: pid_t) -> Bool {
        let file = try? String(contentsOfFile: "\(dataDirectory)/postmaster.pid", encoding: .utf8)
        let lines = file?.split(separator: "\n", omittingEmptySubsequences: false) ?? []
        guard lines.count > 7, lines[0] == "\(pid)" else { return false }
        return lines[7].hasPrefix("ready") || lines[7].hasPrefix("standby")
    }

    /// The end of the server's log.
    public func log(lastBytes: Int = 4_000) -> String {
        let text = try? String(contentsOfFile: "\(dataDirectory)/server.log", encoding: .utf8)
        return String((text ?? "").suffix(lastBytes))
    }

    /// For the end of the test process: no waiting for clients.
    static func quitAll() {
        for child in alive.withLock({ Array($0.values) }) {
            child.signal(SIGQUIT)
            _ = child.waitBlocking(.seconds(5))
        }
    }

    // MARK: Files

    /// Writes a file into the data directory, owned by the server's user, mode 0600.
    @discardableResult
    public func write(_ text: String, to name: String) throws -> String {
        let path = "\(dataDirectory)/\(name)"
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        chmod(path, 0o600)
        try ServerOwner.give(path)
        return path
    }

    private func writeSettings() throws {
        var all = [
            "listen_addresses": host, "port": "\(port)",
            "unix_socket_directories": socketDirectory, "wal_level": "logical",
            "max_wal_senders": "20", "max_replication_slots": "20", "max_connections": "60",
            "shared_buffers": "32MB", "log_line_prefix": "%m [%p] %q%u@%d ", "timezone": "UTC",
            "log_timezone": "UTC", "autovacuum_naptime": "10min",
        ]
        all.merge(settings.withLock { $0 }) { $1 }
        let lines = all.sorted { $0.key < $1.key }.map { name, value in
            "\(name) = '\(value.replacingOccurrences(of: "'", with: "''"))'\n"
        }
        try write(lines.joined(), to: "walrelay.conf")
    }
}

/// Freshly initialised data directories, one a build, that clusters are copied from.
private enum PostgresTemplate {
    private static let made = Mutex<[PostgresVersion: String]>([:])

    static func path(_ version: PostgresVersion) throws -> String {
        try made.withLock { made in
            if let path = made[version] { return path }
            let path = try make(version)
            made[version] = path
            return path
        }
    }

    private static func make(_ version: PostgresVersion) throws -> String {
        let environment = version.environment
        let build = try runProcess(
            version.program("postgres"),
            ["--version"],
            environment: environment
        ).stdout.filter { $0.isNumber || $0 == "." }
        let owner = ServerOwner.current
        let base = "/tmp/walrelay-pg-template-\(owner?.uid ?? geteuid())"
        mkdir(base, 0o700)
        try ServerOwner.give(base)
        let path = "\(base)/\(build.prefix(12))"
        if access("\(path)/PG_VERSION", F_OK) == 0 { return path }
        let draft = "\(path).\(getpid())"
        let output = try runProcess(
            version.program("initdb"),
            [
                "-D", draft, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
                "--no-sync",
            ],
            environment: environment,
            owner: owner
        )
        guard output.status == .code(0) else {
            throw SupportError("initdb: \(output.stdout)\(output.stderr)")
        }
        let conf = "\(draft)/postgresql.conf"
        let text = try String(contentsOfFile: conf, encoding: .utf8)
        try (text + "\ninclude 'walrelay.conf'\n")
            .write(toFile: conf, atomically: false, encoding: .utf8)
        try ServerOwner.give(conf)
        // Another process may have been faster: then its directory serves as well.
        if rename(draft, path) != 0 { try? FileManager.default.removeItem(atPath: draft) }
        return path
    }
}
