// SPDX-License-Identifier: Apache-2.0
//
// The certificates of a file, in whatever form: PEM, one or many, DER, or a PKCS#7 bundle (.p7b) in
// either. A file without any, or one that ends in a damaged one, is refused.

import COpenSSL
import ChangeModel

/// Certificates as OpenSSL holds them; at least one.
struct CertificateList: ~Copyable {
    private let handles: [OpaquePointer]
    /// Whether libpq reads the file as it is.
    let isPlainPEM: Bool

    deinit { for handle in handles { X509_free(handle) } }

    /// Reads the certificates of a file.
    ///
    /// Throws `tls.no_certificate`.
    init(_ file: MaterialFile) throws(WalrelayError) {
        let isBundle = file.contains("-----BEGIN PKCS") || file.contains("-----BEGIN CMS-----")
        let isPlain = file.isPEM && !isBundle
        let handles =
            isPlain
            ? try Self.plain(file)
            : file.isPEM ? Self.bundlePEM(file.bytes) : Self.binary(file.bytes)
        guard !handles.isEmpty else { throw FileFault.notCertificates(file) }
        self.handles = handles
        isPlainPEM = isPlain
    }

    /// What is known of each, in the order of the file.
    var facts: [Certificate] { handles.map { Certificate(of: $0) } }

    /// Whether a key belongs to the first certificate.
    func hasFirst(for key: borrowing PrivateKey) -> Bool {
        handles.first.map { Self.fits($0, key) } ?? false
    }

    /// Writes them as PEM, the one that the key belongs to first: a bundle has no order, and what is
    /// shown to a server has to begin with the client's own.
    func write(to descriptor: Int32, leading key: borrowing PrivateKey) -> Bool {
        write(
            handles.filter { Self.fits($0, key) } + handles.filter { !Self.fits($0, key) },
            descriptor
        )
    }

    /// Writes them as PEM.
    func write(to descriptor: Int32) -> Bool { write(handles, descriptor) }

    /// Whether a key belongs to any of them.
    func contains(for key: borrowing PrivateKey) -> Bool {
        handles.contains { Self.fits($0, key) }
    }

    private func write(_ handles: [OpaquePointer], _ descriptor: Int32) -> Bool {
        OpenSSL.writing(to: descriptor) { writer in
            handles.allSatisfy { PEM_write_bio_X509(writer, $0) == 1 }
        }
    }

    private static func fits(_ certificate: OpaquePointer, _ key: borrowing PrivateKey) -> Bool {
        defer { ERR_clear_error() }
        return X509_check_private_key(certificate, key.handle) == 1
    }

    // MARK: Forms

    /// As libpq does, all that is no certificate is passed over.
    private static func plain(_ file: MaterialFile) throws(WalrelayError) -> [OpaquePointer] {
        var handles: [OpaquePointer] = []
        var isDamaged = false
        OpenSSL.reading(file.bytes) { reader in
            while let handle = PEM_read_bio_X509_AUX(reader, nil, walrelay_no_password, nil) {
                handles.append(handle)
            }
            isDamaged = walrelay_pem_ended() == 0
            return ()
        }
        guard isDamaged else { return handles }
        for handle in handles { X509_free(handle) }
        throw FileFault.malformedCertificate(file, number: handles.count + 1)
    }

    private static func bundlePEM(_ bytes: UnsafeRawBufferPointer) -> [OpaquePointer] {
        OpenSSL.reading(bytes) { reader in
            defer { ERR_clear_error() }
            return PEM_read_bio_PKCS7(reader, nil, walrelay_no_password, nil).map(unpacked)
        } ?? []
    }

    private static func binary(_ bytes: UnsafeRawBufferPointer) -> [OpaquePointer] {
        defer { ERR_clear_error() }
        var next = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        if let handle = d2i_X509(nil, &next, bytes.count) { return [handle] }
        next = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return d2i_PKCS7(nil, &next, bytes.count).map(unpacked) ?? []
    }

    /// Takes a bundle apart, and frees it.
    private static func unpacked(_ bundle: UnsafeMutablePointer<PKCS7>) -> [OpaquePointer] {
        defer { PKCS7_free(bundle) }
        guard let list = walrelay_pkcs7_certificates(bundle) else { return [] }
        return (0..<max(0, OPENSSL_sk_num(list))).compactMap { index in
            guard let value = OPENSSL_sk_value(list, index) else { return nil }
            let handle = OpaquePointer(value)
            X509_up_ref(handle)
            return handle
        }
    }
}

/// What is neither a certificate nor a key but may stand in their place.
enum Store {
    static func isPKCS12(_ bytes: UnsafeRawBufferPointer) -> Bool {
        defer { ERR_clear_error() }
        var next = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard let store = d2i_PKCS12(nil, &next, bytes.count) else { return false }
        PKCS12_free(store)
        return true
    }

    /// Whether a file holds at least one revocation list in PEM, the form that libpq reads; any
    /// other it passes over in silence.
    static func holdsRevocations(_ bytes: UnsafeRawBufferPointer) -> Bool {
        OpenSSL.reading(bytes) { reader in
            defer { ERR_clear_error() }
            guard let list = PEM_read_bio_X509_CRL(reader, nil, walrelay_no_password, nil) else {
                return false
            }
            X509_CRL_free(list)
            return true
        } ?? false
    }
}
