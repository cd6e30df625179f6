// SPDX-License-Identifier: Apache-2.0
//
// The files of TLS that a connection names, wherever it names them: in a keyword, in a connection
// string or in the environment. They are read anew for each connection, so one that was renewed is
// taken up without a restart.

import CLibPQ
import Certificates
import ChangeModel
import Glibc

extension ConnectionParameters {
    /// libpq's keyword for each file.
    private static let fileKeywords: [(purpose: Purpose, keyword: String)] = [
        (.authorities, "sslrootcert"), (.revocations, "sslcrl"), (.certificate, "sslcert"),
        (.key, "sslkey"),
    ]

    /// Whether a connection may come to use TLS: not over Unix sockets, and not where it is off.
    public var mayUseTLS: Bool { Self.mayUseTLS(settled()) }

    /// The files, checked and where need be converted; blocks on the file system.
    ///
    /// Throws `PostgresError` of kind `parameters` whose `cause` is the fault of a file.
    func tlsFiles() throws(PostgresError) -> TLSFiles {
        let settled = settled()
        guard Self.mayUseTLS(settled) else { return TLSFiles() }
        var files = ClientFiles()
        var system: [(String, String)] = []
        files.authorities = settled["sslrootcert"]
        // libpq 16 and later know this word; earlier ones look for a file of that name.
        if files.authorities == "system" {
            files.authorities = nil
            if PQlibVersion() < 160_000 {
                system = try Self.systemAuthorities(mode: explicitMode)
            }
        }
        files.revocations = settled["sslcrl"]
        files.certificate = settled["sslcert"]
        // With a colon it is a key that an engine holds, by that engine's name.
        files.key = settled["sslkey"].flatMap { $0.contains(":") ? nil : $0 }
        files.keyPassword = settled["sslpassword"]
        do {
            let prepared = try files.prepared()
            let replaced = Self.fileKeywords.compactMap { purpose, keyword in
                prepared.replacements[purpose].map { (keyword, $0) }
            }
            return TLSFiles(
                keywords: system + replaced,
                prepared: prepared,
                certificate: files.certificate ?? ""
            )
        } catch {
            throw PostgresError(cause: error)
        }
    }

    /// What libpq will take for each of its keywords: its defaults and the environment, then the
    /// connection string, then the keywords.
    private func settled() -> [String: String] {
        var values: [String: String] = [:]
        if let options = PQconndefaults() {
            values = Self.values(of: options)
            PQconninfoFree(options)
        }
        return values.merging(explicit()) { _, given in given }
    }

    /// What is said in the connection string and in the keywords.
    private func explicit() -> [String: String] {
        var values: [String: String] = [:]
        withConninfo { option in
            if let name = option.keyword, let value = option.val, value.pointee != 0 {
                values[String(cString: name)] = String(cString: value)
            }
        }
        // To libpq an empty value is none.
        return values.merging(keywords.filter { !$0.value.isEmpty }) { _, given in given }
    }

    /// The mode that somebody chose, rather than libpq's default.
    private var explicitMode: String? {
        explicit()["sslmode"] ?? getenv("PGSSLMODE").map { String(cString: $0) }
    }

    static func values(of options: UnsafeMutablePointer<PQconninfoOption>) -> [String: String] {
        var values: [String: String] = [:]
        var next = options
        while let name = next.pointee.keyword {
            if let value = next.pointee.val, value.pointee != 0 {
                values[String(cString: name)] = String(cString: value)
            }
            next += 1
        }
        return values
    }

    private static func mayUseTLS(_ settled: [String: String]) -> Bool {
        guard settled["sslmode"] != "disable" else { return false }
        // Which host a service file names, libpq alone knows.
        if settled["service"] != nil, settled["host"] == nil { return true }
        // Without a host it is the socket of this machine.
        let hosts = (settled["hostaddr"] ?? settled["host"] ?? "").split(separator: ",")
        return hosts.contains { !$0.hasPrefix("/") && !$0.hasPrefix("@") }
    }

    /// The keywords that stand for `sslrootcert=system` where libpq does not know it; it takes no
    /// mode with it but verify-full, since anybody can have a certificate of such an authority.
    private static func systemAuthorities(
        mode: String?
    ) throws(PostgresError) -> [(String, String)] {
        guard mode == nil || mode == "verify-full" else {
            throw PostgresError(
                cause: WalrelayError(
                    "tls.system_authorities",
                    exit: .settings,
                    "The authorities of the system protect with mode verify-full only, not with "
                        + "\(mode ?? "")",
                    hint: "set tls.mode: verify-full, or name the root certificate's file"
                )
            )
        }
        let places = [
            getenv("SSL_CERT_FILE").map { String(cString: $0) } ?? "",
            "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/cert.pem",
        ]
        guard let file = places.first(where: { access($0, R_OK) == 0 }) else {
            throw PostgresError(
                cause: WalrelayError(
                    "tls.system_authorities",
                    exit: .settings,
                    "The authorities of the system are in none of "
                        + places.dropFirst().joined(separator: ", "),
                    hint: "install the package ca-certificates, or name their file as the root "
                        + "certificate"
                )
            )
        }
        return [("sslmode", "verify-full"), ("sslrootcert", file)]
    }
}

/// What libpq is given in place of files that it cannot read; to be kept until it is connected.
struct TLSFiles {
    /// Keywords that win over all others.
    var keywords: [(String, String)] = []
    fileprivate var prepared = PreparedFiles()
    fileprivate var certificate = ""

    /// An error of the login, with what may explain it: a server refuses a client's certificate
    /// that has expired, and says so, if at all, in a word.
    func explaining(_ error: PostgresError) -> PostgresError {
        let now = Certificate.now
        guard error.kind == .tls || error.refusesLogin,
            let certificate = prepared.clientCertificates.first
        else { return error }
        switch certificate.validity(at: now) {
        case .valid, .ending: return error
        case .expired, .early:
            var error = error
            let state = certificate.validityText(at: now)
            error.detail = "the client certificate \(self.certificate): \(state)"
            return error
        }
    }
}
