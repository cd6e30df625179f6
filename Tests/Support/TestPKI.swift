// SPDX-License-Identifier: Apache-2.0
//
// Authorities, certificates and keys of the tests, made by the openssl program and so not by the
// library under test alone. Those that most tests need are made once a process, in a third of a
// second; they are elliptic and live for two days. Nothing of it leaves the scratch directory.
import Foundation
import Glibc
import Synchronization

/// An authority that signs certificates.
public struct TestAuthority: Sendable {
    /// The file of its own certificate, PEM: what those who trust it are given.
    public let certificate: String
    private let key: String
    private let directory: String
    private static let serial = Atomic<Int>(1)

    /// Makes an authority of that common name, with files of their own.
    ///
    /// Blocks for as long as openssl takes, as all of this file does.
    public init(_ commonName: String) throws {
        directory = try Scratch.directory("c")
        certificate = "\(directory)/ca.crt"
        key = "\(directory)/ca.key"
        try openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=\(commonName)",
            "-days",
            "2",
            "-keyout",
            key,
            "-out",
            certificate
        )
    }

    /// Signs a certificate for a new key; `hosts` are alternative names such as `IP:127.0.0.1`.
    public func issue(
        _ commonName: String,
        hosts: [String] = [],
        isExpired: Bool = false
    ) throws -> TestIdentity {
        let number = Self.serial.add(1, ordering: .relaxed).newValue
        let identity = TestIdentity(
            certificate: "\(directory)/\(number).crt",
            key: "\(directory)/\(number).key"
        )
        let (request, extensions) = ("\(directory)/\(number).csr", "\(directory)/\(number).ext")
        try openssl(
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=\(commonName)",
            "-keyout",
            identity.key,
            "-out",
            request
        )
        let line = hosts.isEmpty ? "" : "subjectAltName=\(hosts.joined(separator: ","))\n"
        try line.write(toFile: extensions, atomically: false, encoding: .utf8)
        try openssl(
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            certificate,
            "-CAkey",
            key,
            "-set_serial",
            "\(number)",
            "-days",
            isExpired ? "-1" : "2",
            "-extfile",
            extensions,
            "-out",
            identity.certificate
        )
        return identity
    }

    /// The file of its certificate as a bundle (PKCS #7), as providers offer it for download.
    public func bundle(_ encoding: TestEncoding = .pem) throws -> String {
        let path = "\(directory)/ca.\(encoding.rawValue).p7b"
        try openssl(
            "crl2pkcs7",
            "-nocrl",
            "-certfile",
            certificate,
            "-outform",
            encoding.rawValue,
            "-out",
            path
        )
        return path
    }

    /// The file of its certificate in DER.
    public func binaryCertificate() throws -> String {
        let path = "\(directory)/ca.der"
        try openssl("x509", "-in", certificate, "-outform", "der", "-out", path)
        return path
    }
}

/// How the bytes of a file are written.
public enum TestEncoding: String, Sendable, CaseIterable {
    /// Base64 between lines that say what it is.
    case pem
    /// The bytes themselves.
    case der
}

/// A certificate with its key, by their files.
public struct TestIdentity: Sendable, Equatable {
    /// PEM.
    public let certificate: String
    /// PKCS #8, PEM, not encrypted, mode 0600.
    public let key: String

    /// How else a key can be kept.
    public enum KeyForm: Sendable, CaseIterable {
        /// PKCS #8, DER.
        case der
        /// PKCS #8, PEM, encrypted as openssl does by default.
        case encryptedPEM
        /// The same in DER.
        case encryptedDER
        /// PKCS #8, DER, encrypted by MD5 and DES: what the JDBC driver asks for.
        case encryptedMD5DES
    }

    /// Writes the key in another form into a new file, mode 0600.
    public func key(_ form: KeyForm, password: String = "") throws -> String {
        let path = "\(try Scratch.directory("k"))/client.pk8"
        var arguments = ["pkcs8", "-topk8", "-in", key, "-out", path]
        switch form {
        case .der: arguments += ["-nocrypt", "-outform", "der"]
        case .encryptedPEM: arguments += ["-passout", "pass:\(password)"]
        case .encryptedDER: arguments += ["-passout", "pass:\(password)", "-outform", "der"]
        case .encryptedMD5DES:
            // OpenSSL 3 keeps what MD5 and DES are for apart.
            arguments += ["-passout", "pass:\(password)", "-outform", "der", "-v1", "PBE-MD5-DES"]
            arguments += ["-provider", "legacy", "-provider", "default"]
        }
        try openssl(arguments)
        chmod(path, 0o600)
        return path
    }
}

/// What most tests of TLS need: two authorities that are trusted and one that is not.
public struct TestPKI: Sendable {
    /// What can be wrong with a server's certificate.
    public enum ServerCertificate: Sendable, CaseIterable {
        /// Nothing: it is for 127.0.0.1 and localhost.
        case good
        /// It ran out yesterday.
        case expired
        /// It is for db.example only.
        case otherHost
        /// Nobody trusts who signed it.
        case otherAuthority
    }

    /// What can be wrong with a client's certificate.
    public enum ClientCertificate: Sendable, CaseIterable {
        /// Nothing: its common name is the role.
        case good
        /// It ran out yesterday.
        case expired
        /// Nobody trusts who signed it.
        case otherAuthority
        /// Its common name is another role's.
        case otherName
    }

    /// Signs for servers.
    public let serverAuthority: TestAuthority
    /// Signs for clients.
    public let clientAuthority: TestAuthority
    /// Is trusted by nobody.
    public let otherAuthority: TestAuthority
    private let servers: [ServerCertificate: TestIdentity]
    private let clients: [ClientCertificate: TestIdentity]

    private static let made = Result { try TestPKI() }

    /// The role that the clients' certificates are for.
    public static let role = "cdc"

    /// The certificates of this process; blocks for a third of a second at first use.
    public static func shared() throws -> TestPKI { try made.get() }

    private init() throws {
        serverAuthority = try TestAuthority("server-authority")
        clientAuthority = try TestAuthority("client-authority")
        otherAuthority = try TestAuthority("unknown-authority")
        let here = ["IP:127.0.0.1", "DNS:localhost"]
        servers = [
            .good: try serverAuthority.issue("127.0.0.1", hosts: here),
            .expired: try serverAuthority.issue("127.0.0.1", hosts: here, isExpired: true),
            .otherHost: try serverAuthority.issue("db.example", hosts: ["DNS:db.example"]),
            .otherAuthority: try otherAuthority.issue("127.0.0.1", hosts: here),
        ]
        clients = [
            .good: try clientAuthority.issue(Self.role),
            .expired: try clientAuthority.issue(Self.role, isExpired: true),
            .otherAuthority: try otherAuthority.issue(Self.role),
            .otherName: try clientAuthority.issue("somebody"),
        ]
    }

    /// A server's certificate of that kind.
    public func server(_ kind: ServerCertificate) throws -> TestIdentity {
        guard let identity = servers[kind] else { throw SupportError("no server's \(kind)") }
        return identity
    }

    /// A client's certificate of that kind.
    public func client(_ kind: ClientCertificate) throws -> TestIdentity {
        guard let identity = clients[kind] else { throw SupportError("no client's \(kind)") }
        return identity
    }
}

/// Runs the openssl program and gives what it printed; throws what it said when it fails.
@discardableResult
public func openssl(_ arguments: [String], workingDirectory: String? = nil) throws -> String {
    let output = try runProcess(
        "/usr/bin/openssl",
        arguments,
        workingDirectory: workingDirectory
    )
    guard output.status == .code(0) else {
        throw SupportError("openssl \(arguments.joined(separator: " ")): \(output.stderr)")
    }
    return output.stdout
}

private func openssl(_ arguments: String...) throws { try openssl(arguments) }
