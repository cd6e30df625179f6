// SPDX-License-Identifier: Apache-2.0
//
// A task that runs as its operator runs it: systemd/walrelay@.service under a real systemd, with a
// credential, against servers outside of the machine, into one of the three sinks.

import Foundation
import FoundationNetworking
import Support

/// The systemd that all tests of the unit share, with the unit installed.
enum SandboxedMachine {
    private static let booting = Task {
        let machine = try await SystemdMachine.boot()
        let unit = try String(contentsOf: source("walrelay@.service"), encoding: .utf8)
        try await machine.write(unit, to: "/etc/systemd/system/walrelay@.service")
        try await permitLibraries(in: machine)
        return machine
    }

    /// A debug build takes Swift's libraries from where the toolchain is; a release has them.
    static func permitLibraries(in machine: SystemdMachine) async throws {
        let folders = try libraryFolders().joined(separator: " ")
        if !folders.isEmpty {
            try await machine.write(
                "[Service]\nExecPaths=\(folders)\n",
                to: "/etc/systemd/system/walrelay@.service.d/libraries.conf"
            )
        }
        _ = try await machine.run("systemctl", "daemon-reload")
    }

    static var machine: SystemdMachine {
        get async throws { try await booting.value }
    }

    /// A file of systemd/.
    private static func source(_ name: String) -> URL {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "systemd/\(name)")
    }

    /// Where the executable finds libraries that are not the system's.
    private static func libraryFolders() throws -> [String] {
        let lines = try runProcess("/usr/bin/ldd", [DaemonProcess.executable]).stdout
        let folders = lines.matches(of: /=> (\/[^ ]*)\//).map { String($0.output.1) }
        return Set(folders).filter { !$0.hasPrefix("/lib") && !$0.hasPrefix("/usr/lib") }.sorted()
    }
}

/// Where the changes go.
enum SandboxedSink: String, CaseIterable, Sendable {
    case ndjson
    case postgresql
    case kafka
}

/// A task from `public.orders` of a database of its own, under the unit.
struct SandboxedTask: Sendable {
    let machine: SystemdMachine
    let name: String
    let source: PostgresCluster
    let target: PostgresCluster?
    let broker: KafkaBroker?
    /// Where /healthz is.
    let port: Int

    static let password = "sandboxed-Z9x-never-shown"

    /// Starts the servers and writes settings and credential, on the machine that all share or on
    /// one of the test's own.
    init(
        _ sink: SandboxedSink,
        name: String? = nil,
        on machine: SystemdMachine? = nil
    ) async throws {
        if let machine {
            self.machine = machine
        } else {
            self.machine = try await SandboxedMachine.machine
        }
        self.name = name ?? "unit_\(sink)"
        port = try FreePort.find()
        source = try await PostgresCluster.start(authentication: .scram)
        target = sink == .postgresql ? try await PostgresCluster.start() : nil
        broker = sink == .kafka ? try await KafkaBroker.start() : nil
        try source.psql(
            """
            CREATE ROLE cdc LOGIN REPLICATION PASSWORD '\(Self.password)';
            GRANT CREATE ON DATABASE postgres TO cdc;
            GRANT CREATE ON SCHEMA public TO cdc;
            SET ROLE cdc;
            CREATE TABLE orders (id int PRIMARY KEY, note text);
            INSERT INTO orders VALUES (1, 'copied');
            """
        )
        try await writeSettings { $0 }
        let secret = "/etc/credstore/walrelay.\(self.name).password"
        try await self.machine.write(Self.password + "\n", to: secret, mode: "600")
    }

    var unit: String { "walrelay@\(name).service" }

    /// Writes the settings file as a change of those that every task begins with.
    func writeSettings(_ change: (String) -> String) async throws {
        try await machine.write(change(settings), to: "/etc/walrelay/\(name).yaml")
    }

    private var settings: String {
        let sink =
            if let target {
                "{ kind: postgresql, postgresql: { host: \(target.host), port: \(target.port), "
                    + "database: postgres, user: postgres } }"
            } else if let broker {
                "{ kind: kafka, kafka: { bootstrapServers: '\(broker.address)', "
                    + "topicPrefix: \(name) } }"
            } else {
                "{ kind: ndjson, ndjson: { directory: /var/lib/walrelay/\(name) } }"
            }
        return """
            task: \(name)
            source:
              host: localhost
              port: \(source.port)
              database: postgres
              user: cdc
              passwordFile: credential:password
            tables: { include: [public.orders] }
            sink: \(sink)
            http: { listen: '127.0.0.1:\(port)' }

            """
    }

    /// All that has arrived in the sink, as text.
    func arrived() async throws -> String {
        if let target { return try target.psql("SELECT note FROM orders ORDER BY id") }
        if let broker {
            let topic = "\(name).public.orders"
            return try await onThread { try broker.kcat(["-C", "-e", "-q", "-t", topic]).stdout }
        }
        let files = "/var/lib/walrelay/\(name)"
        return try await machine.run("/bin/sh", "-c", "cat \(files)/*.ndjson*").stdout
    }

    /// What /healthz says, with its code.
    func health() async throws -> String {
        guard let url = URL(string: "http://127.0.0.1:\(port)/healthz") else { return "" }
        let (data, response) = try await URLSession.shared.data(for: URLRequest(url: url))
        let code = (response as? HTTPURLResponse)?.statusCode ?? 0
        return "\(code) \(String(decoding: data, as: UTF8.self))"
    }

    /// A line of /proc/PID/status of the daemon, such as `Seccomp`, without its name.
    func kernelSays(_ key: String) async throws -> String {
        let pid = try await machine.property("MainPID", of: unit)
        let lines = try await machine.read("/proc/\(pid)/status").split(separator: "\n")
        let line = lines.first { $0.hasPrefix("\(key):") } ?? ""
        return line.dropFirst(key.count + 1).trimmingCharacters(in: .whitespaces)
    }
}
