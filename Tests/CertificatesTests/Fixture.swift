// SPDX-License-Identifier: Apache-2.0
//
// Files of certificates and keys in all their forms, made by the openssl program.

import ChangeModel
import Foundation
import Glibc
import Support
import Testing

@testable import Certificates

/// A directory with an identity in every form that this room reads.
struct Forms {
    /// How a key's file is made from one in PEM, PKCS#8.
    struct KeyForm: Sendable, CustomTestStringConvertible {
        var name: String
        var arguments: [String]
        var isEncrypted = false
        /// Whether libpq reads it by itself.
        var isRead = true
        var testDescription: String { name }
    }

    static let password = "right horse"
    private static let encrypted = ["-passout", "pass:\(password)"]
    private static let legacy = ["-provider", "legacy", "-provider", "default"]

    static let keyForms: [KeyForm] = [
        KeyForm(name: "PKCS#8, PEM", arguments: ["pkcs8", "-topk8", "-nocrypt"]),
        KeyForm(name: "traditional, PEM", arguments: ["pkey", "-traditional"]),
        KeyForm(
            name: "PKCS#8, DER",
            arguments: ["pkcs8", "-topk8", "-nocrypt", "-outform", "der"]
        ),
        KeyForm(name: "traditional, DER", arguments: ["pkey", "-traditional", "-outform", "der"]),
        KeyForm(
            name: "encrypted, PEM",
            arguments: ["pkcs8", "-topk8"] + encrypted,
            isEncrypted: true
        ),
        KeyForm(
            name: "encrypted traditionally, PEM",
            arguments: ["pkey", "-traditional", "-aes256"] + encrypted,
            isEncrypted: true
        ),
        KeyForm(
            name: "encrypted, DER",
            arguments: ["pkcs8", "-topk8", "-outform", "der"] + encrypted,
            isEncrypted: true,
            isRead: false
        ),
        KeyForm(
            name: "scrypt, DER",
            arguments: ["pkcs8", "-topk8", "-scrypt", "-outform", "der"] + encrypted,
            isEncrypted: true,
            isRead: false
        ),
        KeyForm(
            name: "MD5 and DES, DER",
            arguments: ["pkcs8", "-topk8", "-outform", "der", "-v1", "PBE-MD5-DES"] + encrypted
                + legacy,
            isEncrypted: true,
            isRead: false
        ),
        KeyForm(
            name: "MD5 and DES, PEM",
            arguments: ["pkcs8", "-topk8", "-v1", "PBE-MD5-DES"] + encrypted + legacy,
            isEncrypted: true,
            isRead: false
        ),
        KeyForm(
            name: "SHA1 and RC2, DER",
            arguments: ["pkcs8", "-topk8", "-outform", "der", "-v1", "PBE-SHA1-RC2-40"] + encrypted
                + legacy,
            isEncrypted: true,
            isRead: false
        ),
    ]

    /// What signs the keys.
    enum Algorithm: String, CaseIterable { case rsa, ec }

    let directory: TemporaryDirectory
    let certificate: String
    let key: String

    init(_ algorithm: Algorithm = .ec) throws {
        directory = try TemporaryDirectory()
        (certificate, key) = (directory.file("client.crt"), directory.file("client.key"))
        let kind =
            algorithm == .rsa
            ? ["-newkey", "rsa:2048"] : ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        try openssl(
            ["req", "-x509", "-nodes", "-days", "2", "-subj", "/O=Shop & Söhne/CN=cdc", "-utf8"]
                + kind + ["-addext", "subjectAltName=DNS:cdc.example", "-out", certificate]
                + ["-keyout", key]
        )
    }

    /// The key in another form.
    func key(_ form: KeyForm, as name: String = "other.key") throws -> String {
        let path = directory.file(name)
        unlink(path)
        try openssl(form.arguments + ["-in", key, "-out", path])
        chmod(path, 0o600)
        return path
    }

    /// The certificate, and that of another identity, in one bundle.
    func bundle(_ other: Forms, _ encoding: String) throws -> String {
        let path = directory.file("bundle.\(encoding).p7b")
        try openssl(
            [
                "crl2pkcs7", "-nocrl", "-certfile", other.certificate, "-certfile", certificate,
                "-outform", encoding, "-out", path,
            ]
        )
        return path
    }

    /// The certificate in DER.
    func der() throws -> String {
        let path = directory.file("client.der")
        try openssl(["x509", "-in", certificate, "-outform", "der", "-out", path])
        return path
    }

    /// The files of the identity.
    var files: ClientFiles {
        var files = ClientFiles()
        (files.certificate, files.key) = (certificate, key)
        return files
    }
}

/// What preparing files fails with, nil where it succeeds.
func fault(_ files: ClientFiles) -> WalrelayError? {
    do throws(WalrelayError) {
        _ = try files.prepared()
        return nil
    } catch {
        return error
    }
}

/// The descriptors that this process has open.
func openDescriptors() throws -> Set<String> {
    Set(try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd"))
}

func text(of path: String) throws -> String {
    try String(contentsOfFile: path, encoding: .utf8)
}
