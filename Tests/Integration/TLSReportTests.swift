// SPDX-License-Identifier: Apache-2.0
//
// What the program tells of TLS: `check`, the running task's status and metrics, and a job's dry
// run. Whether connections come about is TLSMatrixTests' matter.
import Foundation
import Glibc
import Support
import Testing

struct TLSReportTests {
    private static func task(
        _ name: String,
        _ certificate: TestPKI.ServerCertificate = .good,
        _ tls: (TestPKI) throws -> String
    ) async throws -> OddTask {
        let cluster = try await PostgresCluster.start(
            authentication: .hostssl("cert"),
            tls: .shared(certificate)
        )
        try cluster.psql("CREATE TABLE orders (id int PRIMARY KEY)")
        let pki = try TestPKI.shared()
        let client = try pki.clientAuthority.issue("postgres")
        let key = try client.key(.encryptedMD5DES, password: OddTask.password)
        var task = try OddTask(name, on: cluster)
        let password = try task.files.write(OddTask.password, to: "key.password")
        chmod(password, 0o600)
        task.sourceLines = [
            """
            tls: { certificate: "\(client.certificate)", key: "\(key)", \
            keyPasswordFile: key.password, \(try tls(pki)) }
            """
        ]
        return Self.keeping(cluster, task)
    }

    /// The task, with a last change that keeps the cluster for as long as it.
    private static func keeping(_ cluster: PostgresCluster, _ task: OddTask) -> OddTask {
        var task = task
        task.spoil = { text in withExtendedLifetime(cluster) { text } }
        return task
    }

    private static func findings(_ outcome: Outcome) throws -> [String: [String: String]] {
        let list = try #require(
            JSONSerialization.jsonObject(with: Data(outcome.stdout.utf8)) as? [[String: String]],
            "\(outcome.stderr)"
        )
        let tls = list.filter { $0["id"]?.hasPrefix("tls.") == true }
        return Dictionary(tls.map { ($0["id"] ?? "", $0) }) { first, _ in first }
    }

    @Test
    func `check says what a connection rests on, and until when`() async throws {
        let task = try await Self.task("tls_check") { pki in
            "mode: verify-full, rootCertificate: \"\(try pki.serverAuthority.bundle(.der))\""
        }
        let outcome = try await task.run("check", ["--json"])
        let found = try Self.findings(outcome)
        #expect(found["tls.connection"]?["level"] == "ok")
        #expect(found["tls.connection"]?["found"]?.hasPrefix("TLSv1.3, TLS_AES") == true)
        for (id, subject) in [
            ("tls.server_certificate", "CN=127.0.0.1"), ("tls.client_certificate", "CN=postgres"),
            ("tls.authority_certificate", "CN=server-authority"),
        ] {
            // They live for two days; one that was made in this second has them before it.
            #expect(found[id]?["level"] == "warning", "\(found)")
            #expect(found[id]?["found"]?.hasPrefix(subject) == true, "\(found)")
            #expect(found[id]?["found"]?.contains(" more, until 20") == true, "\(found)")
        }
        #expect(outcome.status == .code(0))
    }

    @Test
    func `check warns of what is not verified, and fails for what has expired`() async throws {
        let task = try await Self.task("tls_weak", .expired) { _ in "mode: require" }
        let outcome = try await task.run("check", ["--json"])
        let found = try Self.findings(outcome)
        #expect(found["tls.connection"]?["level"] == "warning")
        #expect(found["tls.connection"]?["mend"]?.hasPrefix("source.tls: { mode: verify-") == true)
        #expect(found["tls.server_certificate"]?["level"] == "failed")
        #expect(outcome.status == .code(77))
    }

    @Test
    func `status and metrics of a running task tell when certificates end`() async throws {
        var task = try await Self.task("tls_watch") { pki in
            "mode: verify-full, rootCertificate: \"\(pki.serverAuthority.certificate)\""
        }
        task.httpPort = try FreePort.find()
        let daemon = try await task.stream()
        try await daemon.until(.seconds(30), "certificates") { [task] in
            try await task.statusDocument()["certificates"] is [Any]
        }
        let list = try await task.statusDocument()["certificates"] as? [[String: Any]] ?? []
        #expect(list.map { $0["certificate"] as? String } == ["server", "client", "authority"])
        let metrics = try await task.get("/metrics").body
        for entry in list {
            let name = entry["certificate"] as? String ?? ""
            let seconds = entry["notAfterSeconds"] as? Int ?? 0
            let line = """
                walrelay_certificate_expiry_timestamp_seconds{task="tls_watch",server="source",\
                certificate="\(name)"} \(seconds)
                """
            #expect(metrics.contains(line + "\n"), "\(line)")
        }
        try await daemon.waitForLog("source client certificate: CN=postgres, valid for ")
        #expect(try await daemon.stop() == .code(0))
        #expect(!(daemon.stdout + daemon.stderr).contains(OddTask.password))
    }
}
