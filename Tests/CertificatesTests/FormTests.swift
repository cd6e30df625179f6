// SPDX-License-Identifier: Apache-2.0
//
// Each form in which a certificate or a key may come: either libpq is left to read it, or it gets
// the same in PEM, in memory.

import Foundation
import Glibc
import Support
import Testing

@testable import Certificates

@Suite struct FormTests {
    @Test(arguments: Forms.keyForms, Forms.Algorithm.allCases)
    func `a key in each form is one that libpq reads`(
        form: Forms.KeyForm,
        algorithm: Forms.Algorithm
    ) throws {
        let forms = try Forms(algorithm)
        var files = forms.files
        files.key = try forms.key(form)
        files.keyPassword = form.isEncrypted ? Forms.password : nil
        let prepared = try files.prepared()
        #expect(prepared.clientCertificates.map(\.subject) == ["CN=cdc,O=Shop & Söhne"])
        guard let replacement = prepared.replacements[.key] else {
            #expect(form.isRead)
            return
        }
        #expect(!form.isRead)
        #expect(prepared.replacements.count == 1)
        #expect(try text(of: replacement) == text(of: forms.key))
        var facts = stat()
        #expect(stat(replacement, &facts) == 0)
        #expect(facts.st_mode == S_IFREG | 0o600)
        #expect(facts.st_nlink == 0, "no directory has it")
    }

    @Test func `a file in memory goes with what was prepared, and no program inherits it`() throws {
        let forms = try Forms()
        var files = forms.files
        files.key = try forms.key(Forms.keyForms[8])
        files.keyPassword = Forms.password
        var prepared: PreparedFiles? = try files.prepared()
        let path = try #require(prepared?.replacements[.key])
        let descriptor = try #require(Int32(path.split(separator: "/").last ?? ""))
        #expect(fcntl(descriptor, F_GETFD) == FD_CLOEXEC)
        #expect(access(path, R_OK) == 0)
        prepared = nil
        // Other tests may have taken the number for a file of theirs.
        let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path)
        #expect(target?.contains("walrelay-tls") != true)
    }

    @Test func `authorities in each form are PEM to libpq`() throws {
        let (one, other) = (try Forms(), try Forms())
        var files = ClientFiles()
        files.authorities = one.certificate
        #expect(try files.prepared().replacements.isEmpty)

        files.authorities = try one.der()
        let single = try files.prepared()
        #expect(
            try text(of: #require(single.replacements[.authorities])) == text(of: one.certificate)
        )
        for encoding in ["pem", "der"] {
            files.authorities = try one.bundle(other, encoding)
            let prepared = try files.prepared()
            #expect(
                try text(of: #require(prepared.replacements[.authorities]))
                    == text(of: other.certificate) + text(of: one.certificate)
            )
        }
    }

    @Test func `of a bundle the client's own certificate comes first`() throws {
        let (one, other) = (try Forms(), try Forms(.rsa))
        var files = one.files
        files.certificate = try one.bundle(other, "der")
        let prepared = try files.prepared()
        #expect(
            try text(of: #require(prepared.replacements[.certificate]))
                == text(of: one.certificate) + text(of: other.certificate)
        )
    }

    @Test func `a file may hold the certificate, its chain and the key, with words between`() throws
    {
        let (one, other) = (try Forms(), try Forms())
        let whole = one.directory.file("all.pem")
        try
            ("Bag Attributes\n  friendlyName: cdc\n" + text(of: one.certificate) + "the chain\n"
            + text(of: other.certificate) + text(of: one.key))
            .write(toFile: whole, atomically: true, encoding: .utf8)
        chmod(whole, 0o600)
        var files = ClientFiles()
        (files.certificate, files.key, files.authorities) = (whole, whole, whole)
        let prepared = try files.prepared()
        #expect(prepared.replacements.isEmpty)
        #expect(prepared.clientCertificates.count == 2)
    }

    @Test func `a certificate's facts are those that openssl prints`() throws {
        let forms = try Forms()
        let certificate = try #require(try forms.files.prepared().clientCertificates.first)
        #expect(certificate.issuer == certificate.subject)
        #expect(certificate.names == ["DNS:cdc.example"])
        let printed = try openssl(
            ["x509", "-in", forms.certificate, "-noout", "-enddate", "-dateopt", "iso_8601"]
        )
        let end = try #require(printed.split(separator: "=").last?.dropLast(5))
        #expect(certificate.validityText(at: certificate.notBefore).contains(end))
        #expect(certificate.notAfter - certificate.notBefore == 2 * 86_400)
    }

    @Test func `a certificate stands as its days say`() {
        let certificate = Certificate(subject: "CN=x", notBefore: 1_000, notAfter: 100_000_000)
        let day: Int64 = 86_400
        #expect(certificate.validity(at: 999) == .early)
        #expect(certificate.validity(at: 1_000) == .valid)
        #expect(certificate.validity(at: 100_000_000 - 30 * day) == .valid)
        #expect(certificate.validity(at: 100_000_001 - 30 * day) == .ending(days: 29))
        #expect(certificate.validity(at: 99_999_999) == .ending(days: 0))
        #expect(certificate.validity(at: 100_000_000) == .expired)
        #expect(certificate.validityText(at: 100_000_000) == "expired on 1973-03-03 09:46 UTC")
        let odd = Certificate(subject: "", notBefore: .min, notAfter: .max)
        #expect(odd.validity(at: 0) == .valid)
        #expect(odd.validityText(at: 0).hasPrefix("valid until"))
    }
}
