// SPDX-License-Identifier: Apache-2.0
//
// Every mode against every certificate of the server, every rule of pg_hba.conf and every
// certificate of the client: 600 logins, each with the end that a small model of libpq and of the
// server foretells, and with what the operator is told to try.
import ChangeModel
import LibPQ
import Support
import Testing

/// Who the server lets in.
private enum Rule: String, CaseIterable {
    case scram = "host all all 127.0.0.1/32 scram-sha-256"
    case scramOverTLS = "hostssl all all 127.0.0.1/32 scram-sha-256"
    case scramVerifyCA = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca"
    case scramVerifyFull = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full"
    case certificate = "hostssl all all 127.0.0.1/32 cert"

    var wantsCertificate: Bool { [.scramVerifyCA, .scramVerifyFull, .certificate].contains(self) }
}

/// How one attempt of libpq fails.
private struct Failure {
    /// Whether the server refuses a login, rather than one side the other's certificate.
    var isLogin = false
    /// Whether libpq tries the other of with TLS and without after it.
    var allowsAnother = true
    /// What is told of it.
    var text: String
    /// What there is to try.
    var advice: String
}

private struct Cell: CustomStringConvertible {
    var mode: String
    var server: TestPKI.ServerCertificate
    var rule: Rule
    var client: TestPKI.ClientCertificate?

    var description: String {
        "\(mode), server \(server), \(rule), client \(client.map { "\($0)" } ?? "none")"
    }

    var verifies: Bool { ["verify-ca", "verify-full"].contains(mode) }

    /// The failures of libpq's attempts; the last entry is nil where it is let in.
    var attempts: [Failure?] {
        let order: [Bool] =
            switch mode {
            case "disable": [false]
            case "allow": [false, true]
            case "prefer": [true, false]
            default: [true]
            }
        var ends: [Failure?] = []
        for usesTLS in order {
            let end = usesTLS ? encrypted : plain
            ends.append(end)
            if end?.allowsAnother != true { break }
        }
        return ends
    }

    private var plain: Failure? {
        rule == .scram
            ? nil
            : Failure(isLogin: true, text: "no encryption", advice: "tls.mode: verify-full")
    }

    private var encrypted: Failure? {
        distrust ?? refusal ?? judgement
    }

    /// The client looks at the server's certificate first.
    private var distrust: Failure? {
        guard verifies else { return nil }
        return switch server {
        case .expired:
            Failure(text: "certificate has expired", advice: "the server's certificate has run out")
        case .otherAuthority:
            Failure(text: "unable to get local issuer certificate", advice: "tls.rootCertificate")
        case .otherHost where mode == "verify-full":
            Failure(text: "does not match host name", advice: "host to a name in it")
        case .good, .otherHost: nil
        }
    }

    /// The server looks at any certificate that it is shown, whatever the rule says.
    private var refusal: Failure? {
        switch client {
        case .expired:
            Failure(
                allowsAnother: false,
                text: "alert certificate expired",
                advice: "tls.certificate, has run out"
            )
        case .otherAuthority:
            Failure(allowsAnother: false, text: "alert unknown ca", advice: "ssl_ca_file")
        case .good, .otherName, nil: nil
        }
    }

    private var judgement: Failure? {
        if rule.wantsCertificate, client == nil {
            return Failure(
                isLogin: true,
                text: "requires a valid client certificate",
                advice: "wants a certificate of the client"
            )
        }
        guard client == .otherName else { return nil }
        return switch rule {
        case .certificate:
            Failure(
                isLogin: true,
                text: "certificate authentication failed",
                advice: "the common name (CN)"
            )
        // The server does not tell it from a wrong password.
        case .scramVerifyFull:
            Failure(
                isLogin: true,
                text: "password authentication failed",
                advice: "clientcert=verify-full"
            )
        case .scram, .scramOverTLS, .scramVerifyCA: nil
        }
    }

    static func all(_ server: TestPKI.ServerCertificate, _ rule: Rule) -> [Cell] {
        ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"].flatMap { mode in
            ([nil] + TestPKI.ClientCertificate.allCases).map { client in
                Cell(mode: mode, server: server, rule: rule, client: client)
            }
        }
    }
}

@Suite struct TLSMatrixTests {
    private static func parameters(
        _ cell: Cell,
        _ cluster: PostgresCluster
    ) throws
        -> ConnectionParameters
    {
        let pki = try TestPKI.shared()
        var keywords = [
            "host": cluster.host, "port": "\(cluster.port)", "dbname": "postgres",
            "user": TestPKI.role, "password": "right horse", "sslmode": cell.mode,
        ]
        if cell.verifies { keywords["sslrootcert"] = pki.serverAuthority.certificate }
        if let client = try cell.client.map(pki.client) {
            keywords["sslcert"] = client.certificate
            keywords["sslkey"] = client.key
        }
        return ConnectionParameters(keywords: keywords)
    }

    /// Connects as a cell says and expects what it foretells.
    private static func judge(_ cell: Cell, _ cluster: PostgresCluster) throws {
        let parameters = try parameters(cell, cluster)
        let failures = cell.attempts.compactMap { $0 }
        let isLetIn = failures.count < cell.attempts.count
        do throws(PostgresError) {
            let connection = try Connection.open(parameters)
            #expect(isLetIn, "\(cell) is let in")
            let isEncrypted = try connection.query(
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            )
            let isPlain = cell.mode == "disable" || (cell.mode == "allow" && cell.rule == .scram)
            #expect(isEncrypted.flag(0, 0) == !isPlain, "\(cell)")
            let seen = connection.authentication
            #expect(seen == (cell.rule == .certificate ? Authentication.none : .scram), "\(cell)")
        } catch {
            let told = WalrelayError(error, while: "connecting")
            guard !isLetIn else { throw SupportError("\(cell): \(told)") }
            let isLogin = failures.contains(where: \.isLogin)
            #expect(told.code == (isLogin ? "source.login_refused" : "source.tls"), "\(cell)")
            #expect(told.exit == .prerequisite && !told.isTransient, "\(cell): \(told)")
            for failure in failures {
                #expect(told.message.contains(failure.text), "\(cell): \(told)")
            }
            #expect(failures.contains { told.hint.contains($0.advice) }, "\(cell): \(told)")
            #expect(!"\(told)".contains("horse"))
        }
    }

    @Test(arguments: [PostgresVersion.v15, .v18].filter { PostgresVersion.available.contains($0) })
    func `each login ends as it should, and says why`(version: PostgresVersion) async throws {
        let cluster = try await PostgresCluster.start(
            version: version,
            settings: ["password_encryption": "scram-sha-256"],
            tls: .shared()
        )
        try cluster.psql("CREATE ROLE \(TestPKI.role) LOGIN PASSWORD 'right horse'")
        for server in TestPKI.ServerCertificate.allCases {
            try await cluster.present(.shared(server))
            for rule in Rule.allCases {
                try await cluster.authenticate(.hba(rule.rawValue))
                try await onThread {
                    for cell in Cell.all(server, rule) { try Self.judge(cell, cluster) }
                }
            }
        }
    }
}
