// SPDX-License-Identifier: Apache-2.0
//
// What people and alerts want to know of a certificate.

import COpenSSL
import Glibc

/// The facts of a certificate.
public struct Certificate: Sendable, Equatable {
    /// Whom it names, as RFC 2253 spells it: `CN=db.example,O=Shop`.
    public var subject: String
    /// Who signed it.
    public var issuer: String
    /// The alternative names, such as `DNS:db.example`; the first twenty.
    public var names: [String]
    /// When it begins to be valid, in seconds since 1970-01-01 UTC.
    public var notBefore: Int64
    /// When it ceases to be valid.
    public var notAfter: Int64

    /// Creates facts.
    public init(
        subject: String,
        issuer: String = "",
        names: [String] = [],
        notBefore: Int64 = 0,
        notAfter: Int64
    ) {
        self.subject = subject
        self.issuer = issuer
        self.names = names
        self.notBefore = notBefore
        self.notAfter = notAfter
    }

    /// Copies the facts of an X509, which stays the caller's.
    init(of certificate: OpaquePointer) {
        subject = OpenSSL.text { walrelay_print_name($0, X509_get_subject_name(certificate)) }
        issuer = OpenSSL.text { walrelay_print_name($0, X509_get_issuer_name(certificate)) }
        names = Self.names(of: certificate)
        notBefore = Self.seconds(X509_get0_notBefore(certificate)) ?? .min
        notAfter = Self.seconds(X509_get0_notAfter(certificate)) ?? .min
        ERR_clear_error()
    }

    private static func names(of certificate: OpaquePointer) -> [String] {
        let extensionData = X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil)
        guard let extensionData else { return [] }
        let list = OpaquePointer(extensionData)
        defer { GENERAL_NAMES_free(list) }
        return (0..<min(20, OPENSSL_sk_num(list))).compactMap { index in
            guard let name = OPENSSL_sk_value(list, index) else { return nil }
            let entry = name.assumingMemoryBound(to: GENERAL_NAME.self)
            return OpenSSL.text(limit: 256) { GENERAL_NAME_print($0, entry) }
        }
    }

    /// nil for what is no time.
    private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64? {
        var parts = tm()
        guard let time, ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
        return Int64(timegm(&parts))
    }

    static func isDER(_ file: MaterialFile) -> Bool {
        guard !file.isPEM else { return false }
        return (try? CertificateList(file)) != nil
    }
}

extension Certificate {
    /// How a certificate stands at a moment.
    public enum Validity: Sendable, Equatable {
        /// Valid for longer than the time of warning.
        case valid
        /// Valid for so many days more, less than the time of warning.
        case ending(days: Int)
        /// Not valid any more.
        case expired
        /// Not valid yet.
        case early
    }

    /// How long before its end a certificate is warned of.
    public static let warningDays: Int64 = 30

    /// The present moment, in seconds since 1970-01-01 UTC.
    public static var now: Int64 { Int64(time(nil)) }

    /// How it stands, by seconds since 1970-01-01 UTC.
    public func validity(at now: Int64) -> Validity {
        if now < notBefore { return .early }
        if now >= notAfter { return .expired }
        let (left, overflow) = notAfter.subtractingReportingOverflow(now)
        guard !overflow, left < Self.warningDays * 86_400 else { return .valid }
        return .ending(days: Int(left / 86_400))
    }

    /// Until when it is valid, or since when not: `until 2027-01-31 12:00 UTC`.
    public func validityText(at now: Int64) -> String {
        switch validity(at: now) {
        case .valid: "valid until \(Self.moment(notAfter))"
        case .ending(let days):
            "valid for \(days) day\(days == 1 ? "" : "s") more, until \(Self.moment(notAfter))"
        case .expired: "expired on \(Self.moment(notAfter))"
        case .early: "not valid before \(Self.moment(notBefore))"
        }
    }

    private static func moment(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = tm()
        var text = [CChar](repeating: 0, count: 64)
        guard gmtime_r(&time, &parts) != nil else { return "a moment that no calendar has" }
        let count = strftime(&text, text.count, "%Y-%m-%d %H:%M UTC", &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
