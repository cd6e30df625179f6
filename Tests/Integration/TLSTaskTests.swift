// SPDX-License-Identifier: Apache-2.0
//
// Whole tasks and jobs over TLS: an authority that is replaced under a running task, and the recipe
// of the DataWorks page with the commands as they are printed there.
import Foundation
import Glibc
import Support
import Testing

struct TLSTaskTests {
    // MARK: A certificate that is replaced

    @Test(arguments: [true, false])
    func `a server's authority is replaced, and the running task waits for the file`(
        isSource: Bool
    ) async throws {
        let pki = try TestPKI.shared()
        let server = try await LoginServer()
        var task = try LoginTask(server)
        func trust(_ authority: TestAuthority) throws {
            let text = try String(contentsOfFile: authority.certificate, encoding: .utf8)
            try task.writeSecret(text, to: "ca.pem")
        }
        try trust(pki.serverAuthority)
        let end = ["user: postgres", "tls: { mode: verify-full, rootCertificate: ca.pem }"]
        if isSource { task.source = end } else { task.sink = end }
        let daemon = try task.start()
        try await daemon.waitForLog("streaming")
        try await server.cluster.present(.shared(.otherAuthority))
        try server.endSessions(of: "postgres")
        try server.cluster.psql("INSERT INTO t VALUES (2)", database: "shop")
        try await daemon.waitForLog(isSource ? "source.tls" : "sink.tls")
        try await daemon.waitForLog(
            isSource ? "source.tls.rootCertificate" : "sink.postgresql.tls.rootCertificate"
        )
        try trust(pki.otherAuthority)
        try await daemon.until { try server.copied() == "1,2" }
        #expect(try await daemon.stop() == .code(0))
    }

    @Test(arguments: TestPKI.ServerCertificate.allCases)
    func `a job is told what is wrong with a server's certificate`(
        kind: TestPKI.ServerCertificate
    ) async throws {
        let pki = try TestPKI.shared()
        let server = try await LoginServer()
        try await server.cluster.present(.shared(kind))
        let job = try Job(
            server,
            "user: postgres, tls: { mode: verify-full,"
                + " rootCertificate: '\(pki.serverAuthority.certificate)' }"
        )
        let outcome = try await job.run()
        switch kind {
        case .good: #expect(outcome.status == .code(0), "\(outcome.stderr)")
        case .expired:
            outcome.expectRefusal(77, "job.tls", "certificate has expired", "give the server a new")
        case .otherHost:
            outcome.expectRefusal(77, "job.tls", "host of the reader's datasource")
        case .otherAuthority:
            outcome.expectRefusal(77, "job.tls", "tls.rootCertificate of the reader's datasource")
        }
    }

    // MARK: The page

    /// What the page has its reader type, in this order; the password is asked for there.
    private static let steps = [
        #"openssl req -new -x509 -days 3650 -nodes -out ca1.crt -keyout ca1.key -subj "/CN=root-ca1""#,
        #"openssl req -new -nodes -text -out client.csr -keyout client.key -subj "/CN=\#(TestPKI.role)""#,
        "openssl x509 -req -in client.csr -text -days 365  -CA ca1.crt -CAkey ca1.key"
            + " -CAcreateserial  -out client.crt",
        "cp client.key client.pk8",
        "openssl pkcs8 -topk8 -inform PEM -in client.key -outform der -out client.pk8"
            + " -v1 PBE-MD5-DES",
    ]

    private static let keyPassword = "key-\(OddTask.password)"

    /// Runs a step as the page's reader does.
    private static func perform(_ step: String, in directory: String) throws {
        // OpenSSL 3 keeps what MD5 and DES are for apart; on the page's systems it needs no word.
        let answers =
            step.contains("pkcs8")
            ? " -passout 'pass:\(keyPassword)' -provider legacy -provider default" : ""
        let output = try runProcess(
            "/bin/sh",
            ["-c", step + answers],
            workingDirectory: directory
        )
        guard output.status == .code(0) else { throw SupportError("\(step): \(output.stderr)") }
    }

    @Test(arguments: ["cert", "scram-sha-256 clientcert=verify-ca"])
    func `the page's six steps lead to a job and a task that run`(method: String) async throws {
        let pki = try TestPKI.shared()
        let server = try await LoginServer(
            rules: "hostssl shop \(TestPKI.role) 127.0.0.1/32 \(method)"
        )
        try server.cluster.psql(
            "ALTER ROLE \(TestPKI.role) PASSWORD '\(LoginServer.password)'"
        )
        var task = try LoginTask(server)
        for step in Self.steps { try Self.perform(step, in: task.files.path) }
        try await server.cluster.present(
            ServerTLS(pki.server(.good), clientAuthority: task.files.file("ca1.crt"))
        )
        try task.writeSecret(Self.keyPassword + "\n", to: "key.password")
        try task.writeSecret(LoginServer.password + "\n", to: "password")
        chmod(task.files.file("client.pk8"), 0o600)
        for root in [pki.serverAuthority.certificate, try pki.serverAuthority.bundle()] {
            let end = """
                user: \(TestPKI.role), passwordFile: '\(task.files.file("password"))', \
                tls: { mode: verify-ca, rootCertificate: '\(root)', \
                certificate: '\(task.files.file("client.crt"))', \
                key: '\(task.files.file("client.pk8"))', \
                keyPasswordFile: '\(task.files.file("key.password"))' }
                """
            let outcome = try await Job(server, end).run()
            #expect(outcome.status == .code(0), "\(outcome.stderr)")
            task.source = [end]
            let daemon = try task.start("run", ["--until", "now"])
            #expect(try await daemon.wait() == .code(0), "\(daemon.stderr)")
            for text in [outcome.stdout, outcome.stderr, daemon.stdout, daemon.stderr] {
                #expect(!text.contains(OddTask.password))
            }
        }
        #expect(try server.copied() == "1")
    }
}

/// A job that prints the table `t` of the server's first database.
private struct Job {
    let files: TemporaryDirectory

    /// `end` is how the datasource logs in, in YAML.
    init(_ server: LoginServer, _ end: String) throws {
        files = try TemporaryDirectory()
        let cluster = server.cluster
        try files.write(
            "shop: { host: \(cluster.host), port: \(cluster.port), database: shop, \(end) }\n",
            to: "datasources.yaml"
        )
        let document = BatchTask.Document(
            reader: #""datasource": "shop", "table": "t", "column": ["*"]"#,
            writerType: "stream",
            writer: #""print": true"#
        )
        try files.write(document.text, to: "job.json")
    }

    func run() async throws -> Outcome {
        let process = try DaemonProcess([
            "batch", files.file("job.json"), "--datasources", files.file("datasources.yaml"),
        ])
        let status = try await process.wait()
        return Outcome(status: status, stdout: process.stdout, stderr: process.stderr)
    }
}
