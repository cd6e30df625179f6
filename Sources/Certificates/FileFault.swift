// SPDX-License-Identifier: Apache-2.0
//
// What can be wrong with a file of certificates or of a key, as the operator is told it: a stable
// code, the file, and the command that mends it. All of them are faults of the settings.

import ChangeModel
import Glibc

enum FileFault {
    static func unreadable(_ path: String, _ purpose: Purpose, _ code: Int32) -> WalrelayError {
        unreadable(path, purpose, String(cString: strerror(code)))
    }

    static func unreadable(_ path: String, _ purpose: Purpose, _ reason: String) -> WalrelayError {
        fault(
            "tls.file_unreadable",
            "The \(purpose.rawValue) \(path) cannot be read: \(reason)",
            "name a file that walrelay's user may read, or mend its permissions"
        )
    }

    /// A file that holds something else than certificates.
    static func notCertificates(_ file: MaterialFile) -> WalrelayError {
        let path = quoted(file.path)
        let found: String
        var hint =
            "give a certificate in PEM, DER or PKCS#7 (.p7b); `openssl x509 -in \(path) "
            + "-noout -text` shows what it holds"
        switch Foreign(file) {
        case .key:
            found = "holds a private key, not a certificate"
            hint = "name the certificate here, and this file as the key"
        case .pkcs12:
            found = "is a PKCS#12 store"
            hint =
                file.purpose == .authorities
                ? "openssl pkcs12 -in \(path) -cacerts -nokeys -out \(renamed(file.path, "pem"))"
                : splitStore(file.path)
        case .javaStore: (found, hint) = ("is a Java key store", javaStore(file.path))
        case .request: found = "holds a signing request, not a certificate"
        case .unknown: found = "holds no certificate"
        }
        return fault(
            "tls.no_certificate",
            "The \(file.purpose.rawValue) \(file.path) \(found)",
            hint
        )
    }

    static func malformedCertificate(_ file: MaterialFile, number: Int) -> WalrelayError {
        fault(
            "tls.no_certificate",
            "The \(file.purpose.rawValue) \(file.path) is damaged: certificate \(number) in it "
                + "cannot be read",
            "take the file anew from where it came; everything from that certificate on is unread"
        )
    }

    static func notRevocations(_ file: MaterialFile) -> WalrelayError {
        let path = quoted(file.path)
        return fault(
            "tls.no_revocation_list",
            "The revocation list \(file.path) holds none in PEM",
            "openssl crl -inform DER -in \(path) -out \(renamed(file.path, "pem")) converts one in "
                + "DER"
        )
    }

    /// A file that holds something else than a key.
    static func notKey(_ file: MaterialFile) -> WalrelayError {
        let found: String
        var hint = "`openssl pkey -in \(quoted(file.path)) -noout` has to read it"
        switch Foreign(file) {
        case .pkcs12: (found, hint) = ("is a PKCS#12 store", splitStore(file.path))
        case .javaStore: (found, hint) = ("is a Java key store", javaStore(file.path))
        case .request: found = "holds a signing request, not a private key"
        case .key: found = "holds a private key that cannot be read: it is damaged"
        case .unknown:
            let isCertificate = file.contains("-----BEGIN CERTIFICATE") || Certificate.isDER(file)
            found =
                isCertificate ? "holds a certificate, not a private key" : "holds no private key"
            if isCertificate { hint = "name the key here, and this file as the certificate" }
        }
        return fault("tls.no_key", "The client key \(file.path) \(found)", hint)
    }

    /// A key that would take minutes to open.
    static func stretched(_ file: MaterialFile) -> WalrelayError {
        fault(
            "tls.no_key",
            "The client key \(file.path) is damaged: its password would be stretched for minutes",
            "take the file anew from where it came"
        )
    }

    static func openToOthers(_ file: MaterialFile) -> WalrelayError {
        fault(
            "tls.key_permissions",
            "The client key \(file.path) has mode \(file.permissions): others may read it, and "
                + "libpq refuses such a key",
            "chmod 600 \(quoted(file.path)) (0640 for a key that root owns and a group reads)"
        )
    }

    static func passwordMissing(_ file: MaterialFile) -> WalrelayError {
        fault(
            "tls.key_password",
            "The client key \(file.path) is encrypted and there is no password for it",
            "name a file with its password in tls.keyPasswordFile (sslpassword in a connection "
                + "string)"
        )
    }

    static func passwordWrong(_ file: MaterialFile) -> WalrelayError {
        fault(
            "tls.key_password",
            "The client key \(file.path) does not open with the password that was given",
            "`openssl pkey -in \(quoted(file.path)) -noout` asks for the password and says whether "
                + "it is right"
        )
    }

    /// A key whose cipher this machine's OpenSSL does not have.
    static func unknownCipher(_ file: MaterialFile) -> WalrelayError {
        let path = quoted(file.path)
        let form = file.isPEM ? "PEM" : "DER"
        let legacy =
            LegacyCiphers.isAllowed ? "" : " on a machine that has OpenSSL's legacy provider"
        return fault(
            "tls.key_cipher",
            "The client key \(file.path) is encrypted by a cipher that OpenSSL does not offer here",
            "convert it\(legacy): openssl pkcs8 -provider legacy -provider default -inform \(form) "
                + "-in \(path) -topk8 -v2 aes-256-cbc -out \(renamed(file.path, "key"))"
        )
    }

    static func mismatch(_ key: MaterialFile, certificate: String) -> WalrelayError {
        fault(
            "tls.key_mismatch",
            "The client key \(key.path) does not belong to the client certificate \(certificate)",
            "name the key that the certificate was requested with; `openssl pkey -in "
                + "\(quoted(key.path)) -pubout` and `openssl x509 -in \(quoted(certificate)) -noout "
                + "-pubkey` have to print the same"
        )
    }

    static func noMemoryFile(_ path: String, _ code: Int32) -> WalrelayError {
        WalrelayError(
            "tls.memory_file",
            exit: .prerequisite,
            "There is no file in memory for what \(path) holds: \(String(cString: strerror(code)))",
            hint: "see that the process may open more files (LimitNOFILE=) and call memfd_create",
            // Descriptors and memory may be free again; a system call that is filtered stays so.
            isTransient: [EMFILE, ENFILE, ENOMEM].contains(code)
        )
    }

    static func fault(_ code: String, _ message: String, _ hint: String) -> WalrelayError {
        WalrelayError(code, exit: .settings, message, hint: hint)
    }

    // MARK: Commands

    private static func splitStore(_ path: String) -> String {
        "openssl pkcs12 -in \(quoted(path)) -nokeys -out \(renamed(path, "crt")) and "
            + "openssl pkcs12 -in \(quoted(path)) -nocerts -out \(renamed(path, "key"))"
    }

    private static func javaStore(_ path: String) -> String {
        "take the .pem or .p7b that comes with it, or keytool -importkeystore -srckeystore "
            + "\(quoted(path)) -deststoretype pkcs12 -destkeystore \(renamed(path, "p12"))"
    }

    /// A path as a shell takes it for one word.
    static func quoted(_ path: String) -> String {
        let isPlain = path.utf8.allSatisfy { byte in
            switch byte {
            case 48...57, 65...90, 97...122: true
            default: "/._-+,:@%".utf8.contains(byte)
            }
        }
        guard !isPlain || path.isEmpty || path.hasPrefix("-") else { return path }
        let parts = path.split(separator: "'", omittingEmptySubsequences: false)
        return "'" + parts.joined(separator: #"'\''"#) + "'"
    }

    /// The path with another ending, quoted; never the same path, which would be overwritten.
    private static func renamed(_ path: String, _ ending: String) -> String {
        let name = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        var stem = path
        if let dot = name.lastIndex(of: "."), dot > name.startIndex {
            stem = String(path.dropLast(name.distance(from: dot, to: name.endIndex)))
        }
        let renamed = "\(stem).\(ending)"
        return quoted(renamed == path ? "\(stem).new.\(ending)" : renamed)
    }
}

/// What a file is that is not what it should be, as far as its first bytes tell.
private enum Foreign {
    case key, pkcs12, javaStore, request, unknown

    init(_ file: MaterialFile) {
        if file.bytes.starts(with: [0xFE, 0xED, 0xFE, 0xED]) {
            self = .javaStore
        } else if file.contains("PRIVATE KEY-----") {
            self = .key
        } else if file.contains("-----BEGIN CERTIFICATE REQUEST-----")
            || file.contains("-----BEGIN NEW CERTIFICATE REQUEST-----")
        {
            self = .request
        } else if !file.isPEM, Store.isPKCS12(file.bytes) {
            self = .pkcs12
        } else if !file.isPEM, PrivateKey.isDER(file.bytes) {
            self = .key
        } else {
            self = .unknown
        }
    }
}
