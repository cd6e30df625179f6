// SPDX-License-Identifier: Apache-2.0
//
// A private key, in whatever form a file has it: PEM or DER, PKCS#1, SEC1 or PKCS#8, encrypted or
// not. libpq's way of reading is tried first; what it cannot read is opened here:
//
//   PEM, plain or encrypted by a present cipher   libpq reads it
//   DER, plain                                    libpq reads it
//   DER, encrypted                                opened here
//   encrypted by MD5 and DES, RC2, RC4            opened here, with OpenSSL's legacy provider

import COpenSSL
import ChangeModel

/// A key in memory, freed at the end of its life.
struct PrivateKey: ~Copyable {
    let handle: OpaquePointer
    /// Whether libpq reads the file as it is.
    let isReadByLibpq: Bool

    deinit { EVP_PKEY_free(handle) }

    /// Opens a key; blocks the processor for as long as its password is stretched.
    ///
    /// Throws `tls.no_key`, `tls.key_password` or `tls.key_cipher`.
    init(_ file: MaterialFile, password: String?) throws(WalrelayError) {
        let secret = Password(password)
        let envelope = EncryptedKey(file)
        if let envelope, envelope.isStretchedTooFar { throw FileFault.stretched(file) }
        let plain = file.isPEM ? Self.openPEM(file.bytes, secret) : Self.openDER(file.bytes)
        let lacksAlgorithm = walrelay_lacks_algorithm() != 0
        if let plain {
            (handle, isReadByLibpq) = (plain, true)
        } else if let envelope {
            guard let password else { throw FileFault.passwordMissing(file) }
            switch envelope.open(password) {
            case .opened(let key): (handle, isReadByLibpq) = (key, false)
            case .wrongPassword: throw FileFault.passwordWrong(file)
            case .unknownCipher: throw FileFault.unknownCipher(file)
            case .noKey: throw FileFault.notKey(file)
            }
        } else {
            // PEM's own encryption is the only other one, and no provider of ours helps there.
            guard secret.isAsked else { throw FileFault.notKey(file) }
            guard password != nil else { throw FileFault.passwordMissing(file) }
            throw lacksAlgorithm ? FileFault.unknownCipher(file) : FileFault.passwordWrong(file)
        }
    }

    /// Writes it as PEM, not encrypted: only into what no disk holds.
    func write(to descriptor: Int32) -> Bool {
        OpenSSL.writing(to: descriptor) { writer in
            PEM_write_bio_PKCS8PrivateKey(writer, handle, nil, nil, 0, nil, nil) == 1
        }
    }

    /// Whether the bytes are a key in DER, encrypted or not.
    static func isDER(_ bytes: UnsafeRawBufferPointer) -> Bool {
        defer { ERR_clear_error() }
        if let key = openDER(bytes) {
            EVP_PKEY_free(key)
            return true
        }
        return EncryptedKey(der: bytes) != nil
    }

    private static func openPEM(
        _ bytes: UnsafeRawBufferPointer,
        _ password: Password
    ) -> OpaquePointer? {
        OpenSSL.reading(bytes) { reader in
            PEM_read_bio_PrivateKey(
                reader,
                nil,
                answer,
                Unmanaged.passUnretained(password).toOpaque()
            )
        }
    }

    private static func openDER(_ bytes: UnsafeRawBufferPointer) -> OpaquePointer? {
        // An encrypted one would make OpenSSL ask for its password.
        guard EncryptedKey(der: bytes) == nil else { return nil }
        return OpenSSL.reading(bytes) { d2i_PrivateKey_bio($0, nil) }
    }
}

/// A password as OpenSSL asks for it; remembers whether it did.
private final class Password {
    private var bytes: [CChar]
    private let isThere: Bool
    private(set) var isAsked = false

    init(_ text: String?) {
        bytes = Array((text ?? "").utf8CString.dropLast())
        isThere = text != nil
    }

    deinit { bytes.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }

    func copy(to buffer: UnsafeMutablePointer<CChar>, size: Int) -> Int32 {
        isAsked = true
        guard isThere, bytes.count <= size else { return -1 }
        for (index, byte) in bytes.enumerated() { buffer[index] = byte }
        return Int32(bytes.count)
    }
}

/// Hands OpenSSL the password that it was given as its context.
private func answer(
    _ buffer: UnsafeMutablePointer<CChar>?,
    _ size: Int32,
    _ isWriting: Int32,
    _ context: UnsafeMutableRawPointer?
) -> Int32 {
    guard let buffer, let context else { return -1 }
    return Unmanaged<Password>.fromOpaque(context).takeUnretainedValue()
        .copy(to: buffer, size: Int(size))
}

/// PKCS#8's envelope around a key.
private final class EncryptedKey {
    enum Outcome {
        case opened(OpaquePointer)
        case wrongPassword
        case unknownCipher
        case noKey
    }

    private let envelope: OpaquePointer

    init?(_ file: MaterialFile) {
        guard file.isPEM else {
            guard let envelope = Self.parse(file.bytes) else { return nil }
            self.envelope = envelope
            return
        }
        let read = OpenSSL.reading(file.bytes) { reader in
            PEM_read_bio_PKCS8(reader, nil, walrelay_no_password, nil)
        }
        ERR_clear_error()
        guard let read else { return nil }
        envelope = read
    }

    init?(der bytes: UnsafeRawBufferPointer) {
        guard let envelope = Self.parse(bytes) else { return nil }
        self.envelope = envelope
    }

    deinit { X509_SIG_free(envelope) }

    private static func parse(_ bytes: UnsafeRawBufferPointer) -> OpaquePointer? {
        defer { ERR_clear_error() }
        var next = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return d2i_X509_SIG(nil, &next, bytes.count)
    }

    /// Whether its password would be stretched for minutes: no program makes such a key, and damage
    /// does.
    var isStretchedTooFar: Bool {
        defer { ERR_clear_error() }
        return !(0...10_000_000).contains(walrelay_stretching(envelope))
    }

    /// Opens it with what OpenSSL offers to all, and else with what it keeps apart.
    func open(_ password: String) -> Outcome {
        if let content = decrypted(password, by: nil) { return key(in: content) }
        guard walrelay_lacks_algorithm() != 0 else { return .wrongPassword }
        return LegacyCiphers.withLibrary { library in
            if let content = decrypted(password, by: library) { return key(in: content) }
            return walrelay_lacks_algorithm() != 0 ? .unknownCipher : .wrongPassword
        } ?? .unknownCipher
    }

    private func decrypted(_ password: String, by library: OpaquePointer?) -> OpaquePointer? {
        ERR_clear_error()
        let count = Int32(clamping: password.utf8.count)
        return password.withCString { PKCS8_decrypt_ex(envelope, $0, count, library, nil) }
    }

    /// Takes the key out, as one of the library that libpq uses; frees the content.
    private func key(in content: OpaquePointer) -> Outcome {
        defer {
            PKCS8_PRIV_KEY_INFO_free(content)
            ERR_clear_error()
        }
        return EVP_PKCS82PKEY(content).map { .opened($0) } ?? .noKey
    }
}

/// The ciphers that OpenSSL 3 keeps in a provider of their own, loaded for one key and for nothing
/// else in the process.
enum LegacyCiphers {
    /// Not where the machine is held to FIPS: what a policy forbids is not done behind its back.
    static var isAllowed: Bool { EVP_default_properties_is_fips_enabled(nil) == 0 }

    /// Lends a library that has them; nil where the machine has none.
    static func withLibrary<Result>(_ body: (OpaquePointer) -> Result) -> Result? {
        guard isAllowed, let library = OSSL_LIB_CTX_new() else { return nil }
        defer { OSSL_LIB_CTX_free(library) }
        defer { ERR_clear_error() }
        guard let present = OSSL_PROVIDER_load(library, "default") else { return nil }
        defer { OSSL_PROVIDER_unload(present) }
        guard let legacy = OSSL_PROVIDER_load(library, "legacy") else { return nil }
        defer { OSSL_PROVIDER_unload(legacy) }
        return body(library)
    }
}
