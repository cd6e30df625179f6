// SPDX-License-Identifier: Apache-2.0
//
// Passwords never show: the running program is given each secret in every way there is, taken
// through its life and through the failures that like to quote, and all that it prints, serves and
// writes is searched for the secret, for parts of it and for other spellings.
import Foundation
import FoundationNetworking
import Glibc
import Support
import Testing

@Suite(.serialized) struct SecretTests {
    /// Asks for passwords; `cdc` has the canary for one.
    private static let server = Task {
        let cluster = try await PostgresCluster.start(
            settings: ["log_connections": "on", "log_statement": "all"],
            authentication: .scram
        )
        let quoted = right.text.replacing("\\", with: "\\\\").replacing("'", with: "''")
        try cluster.psql(
            """
            SET log_statement = 'none';
            CREATE ROLE cdc LOGIN REPLICATION SUPERUSER PASSWORD E'\(quoted)';
            \(SharedCluster.orders)
            """
        )
        return cluster
    }
    private static let right = SecretCanary("right")
    private static let wrong = SecretCanary("wrong")
    private static let token = SecretCanary("token")
    /// For the texts that cannot be read at all, without what ends them early.
    private static let plain = SecretCanary("plain", middle: "-")

    private func expectClean(
        _ text: String,
        _ what: String = "",
        at location: SourceLocation = #_sourceLocation
    ) {
        for canary in [Self.right, Self.wrong, Self.plain, Self.token] {
            let trace = canary.trace(in: text)
            #expect(trace == nil, "\(what): \(trace ?? "")", sourceLocation: location)
        }
    }

    /// Runs a command that is to fail, and searches what it printed.
    private func expectCleanFailure(
        _ arguments: [String],
        environment: [String: String] = [:],
        _ what: String,
        at location: SourceLocation = #_sourceLocation
    ) async throws {
        let daemon = try DaemonProcess(arguments, environment: environment)
        let status = try await daemon.wait()
        let text = daemon.stderr + daemon.stdout
        // A refusal that says something, never success, a signal or a defect.
        guard case .code(let code) = status, ![0, 70].contains(code), text.count > 20 else {
            Issue.record("\(what): \(status) \(text)", sourceLocation: location)
            return
        }
        expectClean(text, what, at: location)
    }

    /// Settings with some lines of `source`.
    private func settings(
        _ source: String,
        sink: String = "{ kind: stream }",
        more: String = ""
    ) -> String {
        """
        task: secrets
        source: { \(source) }
        tables: { include: [orders] }
        sink: \(sink)
        retry: { for: 1s }
        \(more)

        """
    }

    // MARK: Texts that cannot be read

    @Test
    func `faults of YAML at the line of the password do not quote it`() async throws {
        let secret = Self.plain.text
        let lines = [
            "password: \"\(secret)", "password: '\(secret)", "password: \"\(secret)\\q\"",
            "password:\(secret)", "password:\t\(secret)\n\t x: 1", "password \(secret): x",
            "password=\(secret)", "\(secret)", "? \(secret)\n  : {", "pasword: \(secret)",
            "password: [\(secret)]", "password: { \(secret): 1 }", "password: *\(secret)",
            "password: !\(secret) x", "password: !!int \(secret)", "password: @\(secret)",
            "password: %\(secret)", "password: |\(secret)", "password: \(secret): \(secret)",
            "password: \(secret)\n  password: \(secret)", "password: \"\(secret)\\0\"",
            "password: \"${\(secret)\"", "password: \(secret)\n  passwordFile: x",
            "host: 'u:\(secret)@h'",
            "database: 'postgresql://u:\(secret)@h/d'", "database: 'host=h password=\(secret)'",
            "conninfo: 'host=h password=\(secret)'",
        ]
        let files = try TemporaryDirectory()
        for line in lines {
            let text =
                "task: secrets\nsource:\n  host: 127.0.0.1\n  \(line)\n  database: d\n"
                + "tables: { include: [t] }\nsink: { kind: stream }\n"
            let path = try files.write(text, to: "s.yaml")
            try await expectCleanFailure(["check", "--config", path], line)
            let flow = settings("host: 127.0.0.1, port: 1, database: d, \(line)")
            let other = try files.write(flow, to: "f.yaml")
            try await expectCleanFailure(["check", "--config", other], "{ \(line) }")
        }
    }

    @Test
    func `connection strings that cannot be read, or not as they are meant, do not show`()
        async throws
    {
        let secret = Self.wrong.text
        let parts = ["/", "@", "@/", "/@", ":", "?", "#", "%zz", "%", " ", "&", "=", "[", ","]
        var strings = parts.flatMap { part -> [String] in
            let canary = SecretCanary("wrong", middle: part).text
            return [
                "postgresql://cdc:\(canary)@127.0.0.1:1/d",
                "host=127.0.0.1 port=1 password=\(canary)", "postgresql://h:1/d?password=\(canary)",
            ]
        }
        strings += [
            "postgres://cdc:\(Self.plain.text)",
            "host=127.0.0.1 port=1 password='\(secret)", "host=127.0.0.1 port=1 passwort=\(secret)",
            "host='u:\(Self.plain.text)@127.0.0.1' port=1",
        ]
        for string in strings {
            try await expectCleanFailure(["slots", "list", "--conninfo", string], string)
        }
        let files = try TemporaryDirectory()
        for string in strings.prefix(8) {
            let path = try files.write(
                settings("conninfo: \(NamesSource.yaml(string))"),
                to: "c.yaml"
            )
            try await expectCleanFailure(["check", "--config", path], string)
            try await expectCleanFailure(["run", "--config", path], string)
        }
        for words in [
            ["postgresql://cdc:\(secret)@h/d"],
            ["slots", "list", "postgresql://cdc:\(secret)@h/d"],
            ["status", "--url", "http//cdc:\(secret)@127.0.0.1:1"],
            ["status", "--url", "http://cdc:\(Self.plain.text)@127.0.0.1:1"],
            ["check", "host=h password=\(Self.plain.text)"],
        ] {
            try await expectCleanFailure(words, words.joined(separator: " "))
        }
    }

    @Test
    func `faults of a job at the line of the password do not quote it`() async throws {
        let secret = Self.plain.text
        let files = try TemporaryDirectory()
        let url = "jdbc:postgresql://127.0.0.1:1/d"
        for parameter in [
            #""jdbcUrl": "\#(url)", "username": "u", "password": \#(secret)"#,
            #""jdbcUrl": "\#(url)", "username": "u", "password": "\#(secret)"#,
            #""jdbcUrl": "\#(url)", "username": "u", "password" "\#(secret)""#,
            #""jdbcUrl": "\#(url)", "username": "u", "password": "\#(secret)" x"#,
            #""jdbcUrl": "\#(url)", "username": "u", "password": ["\#(secret)"]"#,
            #""jdbcUrl": "\#(url)", "username": "u", "pasword": "\#(secret)""#,
            #""jdbcUrl": "\#(url)", "username": "u", "password:\#(secret)""#,
            #""jdbcUrl": "\#(url)", "password": "\#(secret)", "password": "\#(secret)""#,
            #""jdbcUrl": "\#(url)?user=u&password=\#(secret)""#,
            #""jdbcUrl": "\#(url)?user=u&password=\#(secret)%zz""#,
            #""jdbcUrl": "jdbc:postgresql://u:\#(secret)@127.0.0.1:1/d""#,
            #""jdbcUrl": "jdbc:postgresql://u:\#(secret)@127.0.0.1/d""#,
            #""jdbcUrl": "postgresql://u:\#(secret)@127.0.0.1/d""#,
            #""jdbcUrl": \#(url)?password=\#(secret)"#,
            #""jdbcUrl": "\#(url)", "username": "u", "password": ${pw}"#,
        ] {
            var document = BatchTask.Document()
            document.reader = parameter + #", "table": "t", "column": ["*"]"#
            document.writerType = "stream"
            document.writer = #""print": true"#
            let path = try files.write(document.text, to: "job.json")
            try await expectCleanFailure(["batch", path, "-p", "pw=[\(secret)"], parameter)
        }
    }

    @Test
    func `a password file that cannot be used is named and not quoted`() async throws {
        let files = try TemporaryDirectory()
        let path = try files.write(
            settings("host: 127.0.0.1, port: 1, database: d, passwordFile: secret"),
            to: "s.yaml"
        )
        for text in ["\(Self.plain.text)\0x", "\u{0}\(Self.plain.text)"] {
            try files.write(text, to: "secret")
            try await expectCleanFailure(["check", "--config", path], "a binary file")
        }
        try Data(Array(Self.plain.text.utf8) + [0xff]).write(
            to: URL(filePath: files.file("secret"))
        )
        try await expectCleanFailure(["check", "--config", path], "no UTF-8")
    }

    // MARK: A server

    @Test
    func `a refused login does not show the password, however it was given`() async throws {
        let cluster = try await Self.server.value
        let files = try TemporaryDirectory()
        let address = "host: 127.0.0.1, port: \(cluster.port), database: postgres, user: cdc"
        let secret = Self.wrong
        try files.write(secret.text, to: "secret")
        let uri = "postgresql://cdc:\(secret.percentEncoded)@127.0.0.1:\(cluster.port)/postgres"
        let words = cluster.conninfo(user: "cdc") + " password=\(secret.conninfoValue)"
        let ways: [(String, [String: String])] = [
            (settings("\(address), password: \(NamesSource.yaml(secret.text))"), [:]),
            (settings("\(address), password: '${PW}'"), ["PW": secret.text]),
            (settings("\(address), passwordFile: secret"), [:]),
            (
                settings("\(address), passwordFile: credential:secret"),
                ["CREDENTIALS_DIRECTORY": files.path]
            ),
            (settings(address), ["PGPASSWORD": secret.text]),
            (settings("conninfo: \(NamesSource.yaml(uri))"), [:]),
            (settings("conninfo: \(NamesSource.yaml(words))"), [:]),
            (
                settings(
                    "\(address), password: '${PW}'",
                    sink: "{ kind: postgresql, postgresql: { "
                        + "host: 127.0.0.1, port: \(cluster.port), database: postgres, user: cdc, "
                        + "passwordFile: secret } }"
                ), ["PW": Self.right.text]
            ),
        ]
        for (text, environment) in ways {
            let path = try files.write(text + "log: { level: trace }\n", to: "w.yaml")
            for command in ["check", "run"] {
                let daemon = try DaemonProcess(
                    [command, "--config", path],
                    environment: environment
                )
                #expect(try await daemon.wait() == .code(77), "\(daemon.stderr)")
                expectClean(daemon.stderr + daemon.stdout, text)
            }
        }
        for string in [uri, words] {
            try await expectCleanFailure(["slots", "list", "--conninfo", string], "--conninfo")
        }
        expectClean(cluster.log(lastBytes: 1 << 20), "the server's log")
    }

    @Test
    func `a task that runs shows its passwords nowhere`() async throws {
        let cluster = try await Self.server.value
        let files = try TemporaryDirectory()
        let port = try FreePort.find()
        try await onThread { _ = try cluster.createDatabase("secrets_target") }
        let login = "host: 127.0.0.1, port: \(cluster.port), user: cdc, password: '${PW}'"
        for sink in [
            "{ kind: ndjson, ndjson: { directory: events } }",
            "{ kind: postgresql, postgresql: { \(login), database: secrets_target } }",
        ] {
            let path = try files.write(
                settings(
                    "\(login), database: postgres",
                    sink: sink,
                    more: "log: { level: trace }\n"
                        + "http: { listen: '127.0.0.1:\(port)', token: '${HT}' }"
                ).replacing("1s", with: "1m")
                    .replacing("task: secrets", with: "task: secrets\(sink.count)"),
                to: "run.yaml"
            )
            let daemon = try DaemonProcess(
                ["run", "--config", path],
                environment: ["PW": Self.right.text, "HT": Self.token.text]
            )
            try await daemon.waitForLog("streaming")
            try await onThread {
                _ = try cluster.psql(
                    "INSERT INTO orders SELECT max(id) + 1, 'x' FROM orders;"
                        + "SELECT pg_terminate_backend(pid) FROM pg_stat_replication"
                )
            }
            try await daemon.waitForLog("terminating connection")
            for page in ["status", "metrics", "", "healthz", "readyz", "nowhere"] {
                let url = try #require(URL(string: "http://127.0.0.1:\(port)/\(page)"))
                var request = URLRequest(url: url)
                request.setValue("Bearer \(Self.token.text)", forHTTPHeaderField: "Authorization")
                let (data, response) = try await URLSession.shared.data(for: request)
                #expect((response as? HTTPURLResponse)?.statusCode != 401, "/\(page)")
                expectClean(String(decoding: data, as: UTF8.self), "/\(page)")
            }
            let line = try Data(contentsOf: URL(filePath: "/proc/\(daemon.pid)/cmdline"))
            expectClean(String(decoding: line, as: UTF8.self), "the process's arguments")
            let seen = try await onThread {
                try cluster.psql("SELECT a::text FROM pg_stat_activity a")
                    + cluster.psql("SELECT r::text FROM pg_stat_replication r")
            }
            expectClean(seen, "the server's views")
            // In good order, then as by a trap, where Swift's runtime would print memory.
            if sink.contains("ndjson") {
                #expect(try await daemon.stop() == .code(0))
            } else {
                daemon.kill(SIGILL)
                #expect(try await daemon.wait() == .signal(SIGILL))
                #expect(!daemon.stderr.contains("Registers"))
            }
            expectClean(daemon.stderr + daemon.stdout, sink)
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: files.file("events")) {
            expectClean(
                try String(contentsOfFile: files.file("events/\(name)"), encoding: .utf8),
                name
            )
        }
        let dump = try await onThread {
            try cluster.run("pg_dumpall", ["--no-role-passwords"]).stdout
        }
        #expect(dump.contains("walrelay"))
        expectClean(dump, "the databases")
        expectClean(cluster.log(lastBytes: 4 << 20), "the server's log")
    }

    @Test
    func `the secrets of Kafka's client do not show`() async throws {
        let cluster = try await Self.server.value
        let files = try TemporaryDirectory()
        let login =
            "host: 127.0.0.1, port: \(cluster.port), user: cdc, password: '${PW}', "
            + "database: postgres"
        let plain = "security.protocol: sasl_plaintext, sasl.username: u"
        let secret = NamesSource.yaml(Self.wrong.text)
        let all = [
            "\(plain), sasl.mechanism: PLAIN, sasl.password: \(secret)",
            "\(plain), sasl.mechanism: SCRAM-SHA-256, sasl.password: \(secret), debug: all",
            "security.protocol: ssl, ssl.key.password: \(secret), ssl.key.location: run0.yaml",
            "security.protocol: ssl, ssl.key.pem: \(secret)",
            "security.protocol: \(NamesSource.yaml(Self.plain.text))",
            "sasl.pasword: \(secret)",
            "\(plain), sasl.mechanism: OAUTHBEARER, sasl.oauthbearer.config: \(secret)",
        ]
        // Beside each other, since each waits for a broker that is not there.
        try await withThrowingTaskGroup { group in
            for (index, properties) in all.enumerated() {
                let path = try files.write(
                    settings(
                        login,
                        sink: "{ kind: kafka, kafka: { bootstrapServers: '127.0.0.1:1', "
                            + "properties: { \(properties) } } }",
                        more: "log: { level: trace }\nhttp: { listen: off }"
                    )
                    // Of one task all but one would wait.
                    .replacing("task: secrets", with: "task: secrets_\(index)"),
                    to: "run\(index).yaml"
                )
                for command in ["check", "run"] {
                    group.addTask {
                        try await expectCleanFailure(
                            [command, "--config", path],
                            environment: ["PW": Self.right.text],
                            properties
                        )
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
