// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a file is said by a stable code, with the file and what mends it, and without
// any secret.

import ChangeModel
import Foundation
import Glibc
import Support
import Testing

@testable import Certificates

@Suite struct FaultTests {
    private static func check(
        _ files: ClientFiles,
        _ code: String,
        _ parts: String...,
        location: SourceLocation = #_sourceLocation
    ) {
        let error = fault(files)
        #expect(error?.code == code, sourceLocation: location)
        #expect(error?.exit == .settings, sourceLocation: location)
        #expect(error?.isTransient == false, sourceLocation: location)
        let text = "\(error?.description ?? "nothing")"
        for part in parts { #expect(text.contains(part), sourceLocation: location) }
        #expect(!text.contains("horse"), sourceLocation: location)
    }

    @Test func `a file that cannot be had is named with the reason`() throws {
        let forms = try Forms()
        let directory = forms.directory
        let empty = try directory.write("", to: "empty")
        let pipe = directory.file("pipe")
        mkfifo(pipe, 0o600)
        for (path, reason) in [
            (directory.file("absent"), "No such file or directory"), (empty, "it is empty"),
            (directory.path, "it is not a regular file"), (pipe, "it is not a regular file"),
        ] {
            for purpose in Purpose.allCases {
                var files = ClientFiles()
                switch purpose {
                case .authorities: files.authorities = path
                case .revocations: files.revocations = path
                case .certificate: files.certificate = path
                case .key: files.key = path
                }
                let noun = "The \(purpose.rawValue) \(path) cannot be read: \(reason)"
                Self.check(files, "tls.file_unreadable", noun)
            }
        }
        let large = directory.file("large")
        try Data().write(to: URL(filePath: large))
        #expect(truncate(large, (1 << 20) + 1) == 0)
        var files = ClientFiles()
        files.certificate = large
        Self.check(files, "tls.file_unreadable", "larger than 1024 KiB")
    }

    @Test func `what is no certificate is told from what it is`() throws {
        let forms = try Forms()
        let (directory, password) = (forms.directory, "pass:\(Forms.password)")
        let store = directory.file("store.p12")
        try openssl(
            ["pkcs12", "-export", "-in", forms.certificate, "-inkey", forms.key, "-out", store]
                + ["-passout", password]
        )
        let request = directory.file("client.csr")
        try openssl(["req", "-new", "-key", forms.key, "-subj", "/CN=x", "-out", request])
        let java = directory.file("store.jks")
        try Data([0xFE, 0xED, 0xFE, 0xED, 0, 0, 0, 2]).write(to: URL(filePath: java))
        let binaryKey = try forms.key(Forms.keyForms[6])
        let noise = try directory.write("nothing of that kind\n", to: "noise")
        for (path, parts) in [
            (forms.key, ["holds a private key, not a certificate"]),
            (binaryKey, ["holds a private key, not a certificate"]),
            (store, ["is a PKCS#12 store", "openssl pkcs12 -in \(store)"]),
            (java, ["is a Java key store", "keytool -importkeystore"]),
            (request, ["holds a signing request"]), (noise, ["holds no certificate"]),
        ] {
            var files = ClientFiles()
            files.authorities = path
            let text = fault(files)?.description ?? ""
            #expect(fault(files)?.code == "tls.no_certificate", "\(path)")
            for part in parts { #expect(text.contains(part), "\(text)") }
            (files.authorities, files.certificate) = (nil, path)
            #expect(fault(files)?.code == "tls.no_certificate", "\(path)")
        }
    }

    @Test func `a bundle that ends in a damaged certificate is refused, not cut short`() throws {
        let forms = try Forms()
        let good = try text(of: forms.certificate)
        let bad = good.replacingOccurrences(of: "MI", with: "AA")
        var files = ClientFiles()
        files.authorities = try forms.directory.write(good + bad + good, to: "bundle.pem")
        Self.check(files, "tls.no_certificate", "certificate 2 in it")
    }

    @Test func `what is no key is told from what it is`() throws {
        let forms = try Forms()
        let damaged = try forms.directory.write(
            text(of: forms.key).replacingOccurrences(of: "MI", with: "AA"),
            to: "damaged.key"
        )
        chmod(damaged, 0o600)
        let publicKey = forms.directory.file("public.key")
        try openssl(["pkey", "-in", forms.key, "-pubout", "-out", publicKey])
        for path in [forms.certificate, publicKey, try forms.der()] { chmod(path, 0o600) }
        for (path, part) in [
            (forms.certificate, "holds a certificate, not a private key"),
            (try forms.der(), "holds a certificate, not a private key"),
            (damaged, "it is damaged"), (publicKey, "holds no private key"),
        ] {
            chmod(path, 0o600)
            var files = ClientFiles()
            files.key = path
            Self.check(files, "tls.no_key", part)
        }
    }

    @Test(arguments: Forms.keyForms.filter(\.isEncrypted))
    func `a password that is wrong or missing is told`(form: Forms.KeyForm) throws {
        let forms = try Forms()
        var files = forms.files
        let path = try forms.key(form)
        files.key = path
        Self.check(
            files,
            "tls.key_password",
            path,
            "there is no password for it",
            "keyPasswordFile"
        )
        files.keyPassword = "wrong horse"
        Self.check(files, "tls.key_password", path, "does not open with the password")
    }

    @Test func `a key that others may read is refused as libpq does, with the command`() throws {
        let forms = try Forms()
        let odd = forms.directory.file("it's a key")
        try FileManager.default.copyItem(atPath: forms.key, toPath: odd)
        var files = forms.files
        files.key = odd
        let me = geteuid()
        for (mode, owner, isRefused) in [
            (0o600, me, false), (0o400, me, false), (0o640, 0, false), (0o644, 0, true),
            (0o660, 0, true), (0o640, 12345, true), (0o604, 12345, true), (0o600, 12345, false),
        ] as [(mode_t, uid_t, Bool)] where owner == me || me == 0 {
            #expect(chown(odd, owner, gid_t.max) == 0)
            chmod(odd, mode)
            #expect((fault(files) != nil) == isRefused, "\(String(mode, radix: 8)) \(owner)")
            guard isRefused else { continue }
            let quoted = "'" + odd.replacingOccurrences(of: "'", with: #"'\''"#) + "'"
            Self.check(files, "tls.key_permissions", "chmod 600 \(quoted)")
        }
    }

    @Test func `a key that is another certificate's is told with both files`() throws {
        let (one, other) = (try Forms(), try Forms())
        var files = one.files
        files.key = other.key
        Self.check(files, "tls.key_mismatch", one.certificate, other.key)
        files.certificate = try one.der()
        Self.check(files, "tls.key_mismatch")
    }

    @Test func `a revocation list is one in PEM`() throws {
        let forms = try Forms()
        var files = ClientFiles()
        files.revocations = forms.certificate
        Self.check(files, "tls.no_revocation_list", "openssl crl -inform DER")
        let config = try forms.directory.write(
            "[ca]\ndefault_ca=x\n[x]\ndatabase=\(forms.directory.file("index"))\n"
                + "default_md=sha256\ndefault_crl_days=2\n",
            to: "ca.conf"
        )
        try forms.directory.write("", to: "index")
        let list = forms.directory.file("list.pem")
        try openssl(
            ["ca", "-gencrl", "-config", config, "-cert", forms.certificate, "-keyfile", forms.key]
                + ["-out", list]
        )
        files.revocations = list
        #expect(fault(files) == nil)
    }

    @Test func `without the legacy provider the converting command is told, and works`() throws {
        let forms = try Forms()
        let path = try forms.key(Forms.keyForms[8], as: "my client.pk8")
        let file = try MaterialFile(path, as: .key)
        let error = FileFault.unknownCipher(file)
        #expect(error.code == "tls.key_cipher" && error.exit == .settings)
        let command = try #require(error.hint.range(of: "openssl ")).lowerBound
        let shell = try runProcess(
            "/bin/sh",
            ["-c", "\(error.hint[command...]) -passin 'pass:\(Forms.password)' -passout pass:new"]
        )
        #expect(shell.status == .code(0), "\(shell.stderr)")
        var files = forms.files
        files.key = forms.directory.file("my client.key")
        files.keyPassword = "new"
        chmod(files.key ?? "", 0o600)
        #expect(fault(files) == nil)
    }
}
