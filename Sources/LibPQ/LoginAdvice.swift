// SPDX-License-Identifier: Apache-2.0
//
// What an operator can do about a login that failed: which of the two sides it is, which file or
// setting, and what to change there. Read off the words of libpq, of OpenSSL and of the server,
// which are never translated here; the first entry of the list that fits is given.

/// Which end of a task or a job a connection leads to, in the words of its settings.
public enum ConnectionEnd: Sendable, Equatable {
    /// `source` of a task.
    case source
    /// `sink.postgresql` of a task.
    case target
    /// The datasource of a job's `reader` or `writer`.
    case datasource(String)

    /// Where a setting of the connection stands: `tls.mode` is `source.tls.mode`.
    public func setting(_ name: String) -> String {
        switch self {
        case .source: "source.\(name)"
        case .target: "sink.postgresql.\(name)"
        case .datasource(let step): "\(name) of the \(step)'s datasource"
        }
    }
}

extension PostgresError {
    /// What to try next about a login that was refused, or TLS that did not come about.
    public func advice(at end: ConnectionEnd) -> String {
        guard mend.isEmpty else { return mend }
        for advice in LoginAdvice.all where advice.texts.contains(where: message.contains) {
            return advice.told(at: end)
        }
        return (kind == .tls ? LoginAdvice.ofTLS : LoginAdvice.ofLogin).told(at: end)
    }
}

private struct LoginAdvice: Sendable {
    /// Any of them stands in the message.
    var texts: [String] = []
    /// What to try; a setting's name stands in braces.
    var advice: String

    /// The advice with the settings' full names.
    func told(at end: ConnectionEnd) -> String {
        advice.replacing(#/\{([A-Za-z.]+)\}/#) { end.setting(String($0.output.1)) }
    }

    static let all: [LoginAdvice] = serverCertificate + clientCertificate + terms + rules

    static let ofTLS = LoginAdvice(
        advice: "check {tls.mode} and the files beside it, and ssl in the server's postgresql.conf"
    )
    static let ofLogin = LoginAdvice(
        advice: """
            check {user}, the password, {database} and the server's pg_hba.conf; where that says \
            clientcert=verify-full, the common name of {tls.certificate} has to be the role
            """
    )

    /// We do not trust what the server shows.
    private static let serverCertificate: [LoginAdvice] = [
        LoginAdvice(
            texts: ["verify failed: certificate has expired"],
            advice: """
                the server's certificate has run out: give the server a new one (ssl_cert_file), \
                then SELECT pg_reload_conf();
                """
        ),
        LoginAdvice(
            texts: ["verify failed: certificate is not yet valid"],
            advice: "the server's certificate is for later: compare the clocks of both machines"
        ),
        LoginAdvice(
            texts: ["verify failed: certificate revoked"],
            advice: """
                the server's certificate was taken back, says {tls.revocationList}: give the \
                server a new one (ssl_cert_file), then SELECT pg_reload_conf();
                """
        ),
        LoginAdvice(
            texts: ["certificate verify failed"],
            advice: """
                the server's certificate is by an authority that {tls.rootCertificate} does not \
                hold: put the certificate of the server's authority there; `openssl s_client \
                -starttls postgres -showcerts -connect HOST:PORT` shows who signed it
                """
        ),
        LoginAdvice(
            texts: ["does not match host name"],
            advice: """
                the server's certificate is for another name: set {host} to a name in it, or give \
                the server a certificate for this one; where neither can be, {tls.mode}: \
                verify-ca leaves the name aside
                """
        ),
        LoginAdvice(
            texts: ["root certificate file"],
            advice: "name the file of the server's authority in {tls.rootCertificate}"
        ),
    ]

    /// The server does not trust what we show, or misses it.
    private static let clientCertificate: [LoginAdvice] = [
        LoginAdvice(
            texts: ["alert certificate expired"],
            advice: """
                our certificate, {tls.certificate}, has run out: have a new one signed and replace \
                the file and its key
                """
        ),
        LoginAdvice(
            texts: ["alert unknown ca"],
            advice: """
                the server does not know who signed {tls.certificate}: add that authority's \
                certificate to the server's ssl_ca_file, then SELECT pg_reload_conf(); or name a \
                certificate that one of its authorities signed
                """
        ),
        LoginAdvice(
            texts: [
                "alert bad certificate", "alert certificate revoked", "alert certificate unknown",
                "alert unsupported certificate", "alert decrypt error",
            ],
            advice: "the server refuses our certificate, {tls.certificate}: its log says why"
        ),
        LoginAdvice(
            texts: ["requires a valid client certificate", "alert certificate required"],
            advice: """
                the server wants a certificate of the client: set {tls.certificate} and {tls.key}
                """
        ),
        LoginAdvice(
            texts: ["certificate authentication failed for user"],
            advice: """
                the common name (CN) in {tls.certificate} has to be the role of {user}: have one \
                issued for it, or map the name in the server's pg_ident.conf
                """
        ),
    ]

    /// The two sides do not agree on terms.
    private static let terms: [LoginAdvice] = [
        LoginAdvice(
            texts: ["does not support SSL"],
            advice: """
                turn ssl on in the server's postgresql.conf; where it cannot be, {tls.mode}: \
                disable goes without encryption
                """
        ),
        LoginAdvice(
            texts: ["protocol version", "unsupported protocol"],
            advice: """
                the two sides have no version of TLS in common: compare ssl_min_protocol_version \
                and ssl_max_protocol_version of the server with {tls.minimumVersion}
                """
        ),
        LoginAdvice(
            texts: ["channel binding"],
            advice: """
                {tls.channelBinding}: require needs scram-sha-256 over TLS in the server's \
                pg_hba.conf, and a role whose password was set with it
                """
        ),
    ]

    /// The server's pg_hba.conf, and what a login by password lacks.
    private static let rules: [LoginAdvice] = [
        LoginAdvice(
            // With `SSL off` before 14.
            texts: ["no encryption", "SSL off"],
            advice: """
                no line of the server's pg_hba.conf lets this role in without encryption: set \
                {tls.mode}: verify-full, or add a host or hostssl line for it
                """
        ),
        LoginAdvice(
            texts: ["no pg_hba.conf entry", "pg_hba.conf rejects"],
            advice: """
                add a line to the server's pg_hba.conf for this role, database and address, such \
                as `hostssl DATABASE ROLE ADDRESS scram-sha-256`, then SELECT pg_reload_conf();
                """
        ),
        LoginAdvice(
            texts: ["no password supplied"],
            advice: "give the password: {passwordFile}, PGPASSWORD or ~/.pgpass"
        ),
        LoginAdvice(
            texts: ["server signature"],
            advice: """
                the server does not know the password that it asks for: somebody else may sit at \
                this address
                """
        ),
        LoginAdvice(
            texts: ["GSSAPI", "SSPI", "Kerberos", "authentication method", "SASL"],
            advice: """
                walrelay logs in by password or certificate: give this role a line with \
                scram-sha-256 or cert in the server's pg_hba.conf, above the others
                """
        ),
    ]
}
