// SPDX-License-Identifier: Apache-2.0
//
// Receives the files that a connection's settings name, before it is made; gives those that libpq
// is to take in their place. What libpq reads by itself stays where it is. What it cannot read is
// given to it converted, in memory. What is wrong is said before anything goes over the network.

public import ChangeModel

/// The files of a connection, as its settings name them; nil is left to libpq.
///
/// Holds a password; has no description on purpose.
public struct ClientFiles: Sendable {
    /// The certificates of the authorities that are trusted.
    public var authorities: String?
    /// What the authorities have taken back.
    public var revocations: String?
    /// The client's certificate, and those between it and its authority.
    public var certificate: String?
    /// The key of the client's certificate.
    public var key: String?
    /// The key's password.
    public var keyPassword: String?

    /// No files.
    public init() {}

    /// Reads and checks the files, and converts what libpq cannot read; blocks.
    ///
    /// Throws errors with codes that begin with `tls.`; nearly all are faults of the settings.
    public func prepared() throws(WalrelayError) -> PreparedFiles {
        var result = PreparedFiles()
        if let authorities {
            let file = try MaterialFile(authorities, as: .authorities)
            let list = try CertificateList(file)
            if !list.isPlainPEM {
                try result.replace(file) { list.write(to: $0) }
            }
        }
        if let revocations {
            let file = try MaterialFile(revocations, as: .revocations)
            guard Store.holdsRevocations(file.bytes) else { throw FileFault.notRevocations(file) }
        }
        try prepareIdentity(&result)
        return result
    }

    private func prepareIdentity(_ result: inout PreparedFiles) throws(WalrelayError) {
        guard let key else {
            guard let certificate else { return }
            let file = try MaterialFile(certificate, as: .certificate)
            let list = try CertificateList(file)
            if !list.isPlainPEM { try result.replace(file) { list.write(to: $0) } }
            result.clientCertificates = list.facts
            return
        }
        let keyFile = try MaterialFile(key, as: .key)
        guard !keyFile.isOpenToOthers else { throw FileFault.openToOthers(keyFile) }
        let opened = try PrivateKey(keyFile, password: keyPassword)
        if !opened.isReadByLibpq { try result.replace(keyFile) { opened.write(to: $0) } }
        guard let certificate else { return }
        let file = try MaterialFile(certificate, as: .certificate)
        let list = try CertificateList(file)
        let fits = list.isPlainPEM ? list.hasFirst(for: opened) : list.contains(for: opened)
        guard fits else { throw FileFault.mismatch(keyFile, certificate: certificate) }
        if !list.isPlainPEM { try result.replace(file) { list.write(to: $0, leading: opened) } }
        result.clientCertificates = list.facts
    }
}

/// What libpq is to take; the files in memory live as long as the last copy of this.
public struct PreparedFiles: Sendable {
    /// The paths that take the place of those in the settings.
    public private(set) var replacements: [Purpose: String] = [:]
    /// What is known of the client's certificate, its own first; empty where none is named.
    public fileprivate(set) var clientCertificates: [Certificate] = []
    private var files: [MemoryFile] = []

    /// Nothing is replaced.
    public init() {}

    fileprivate mutating func replace(
        _ original: MaterialFile,
        _ write: (Int32) -> Bool
    ) throws(WalrelayError) {
        let file = try MemoryFile(from: original.path, write)
        replacements[original.purpose] = file.path
        files.append(file)
    }
}
