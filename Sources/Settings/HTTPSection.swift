// SPDX-License-Identifier: Apache-2.0
//
// `http`: where the status server listens and who is answered. Listening beyond this machine is
// allowed and warned of, unless a token is asked for over TLS, which a proxy in front has to give.

public import ChangeModel
import Glibc

extension Settings {
    /// `http`: the status server.
    public struct HTTP: Sendable, Equatable {
        /// Where it listens; nil when it is switched off.
        public var listen: Endpoint? = Endpoint(host: "127.0.0.1", port: 8085)
        /// What a request has to show; nil answers whoever reaches the port.
        public var token: SecretSource?
        /// Whether a proxy with TLS and a login stands in front, which clients reach by any name.
        public var isBehindProxy = false

        /// Creates the default section.
        public init() {}
    }
}

extension Settings.HTTP {
    /// Below this a token can be guessed; with it nobody needs to be locked out for trying.
    static let tokenBytes = 16...1024

    /// The token as it is now; nil when none is asked for.
    ///
    /// Blocks on the file system. Throws `settings.secret_file` when the file cannot be read, and
    /// `http.token_weak` when what it holds is no token; both exit 78.
    public func readToken(environment: [String: String]) throws(WalrelayError) -> String? {
        guard let token else { return nil }
        if case .file(let path) = token, Self.isPipe(path) {
            throw WalrelayError(
                "settings.secret_file",
                exit: .settings,
                "The token file \(path) is a pipe, which can be read once only.",
                hint: "name a file in http.tokenFile: it is read anew for each request"
            )
        }
        let text = try token.read(environment: environment, noun: "token")
        if let fault = Self.fault(ofToken: text) {
            throw WalrelayError(
                "http.token_weak",
                exit: .settings,
                "The token of http.token or http.tokenFile \(fault).",
                hint: "make one: openssl rand -hex 32"
            )
        }
        return text
    }

    private static func isPipe(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO
    }

    /// Why a text is no token, as the end of a sentence; nil when it is one.
    fileprivate static func fault(ofToken text: String) -> String? {
        guard tokenBytes.contains(text.utf8.count) else {
            return "has \(text.utf8.count) characters, not \(tokenBytes.lowerBound) to"
                + " \(tokenBytes.upperBound)"
        }
        let isPlain = text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
        return isPlain ? nil : "holds a blank, or a character that is not ASCII"
    }
}

extension Settings.HTTP {
    static func read(_ section: Section) -> Self? {
        var http = Self()
        section.take("listen", Form<Endpoint>.endpoint.or("off"), into: &http.listen)
        let literal = section.take("token", .token)
        let file = section.take(
            "tokenFile",
            .secretFile(from: section.context.baseDirectory)
        )
        section.take("behindProxy", .boolean, into: &http.isBehindProxy)
        section.exclude(["tokenFile"], beside: "token")
        section.notePassword(in: "token")
        http.token = literal.map { .literal($0) } ?? file
        if let warning = http.warning { section.warn(warning) }
        return http
    }

    /// What is unwise about being reached from elsewhere.
    private var warning: String? {
        guard let listen, !listen.isLoopback, !isBehindProxy else { return nil }
        let proxy = "behindProxy: true says that a proxy with TLS and a login stands in front"
        guard token != nil else {
            return "\(listen) is reached from other machines and asks for no token: whoever reaches"
                + " it reads names of tables and hosts, positions and errors; set tokenFile;"
                + " \(proxy)"
        }
        return "\(listen) is reached from other machines, and the token travels in clear unless TLS"
            + " is in front; \(proxy)"
    }
}

extension Endpoint {
    /// Whether only this machine reaches it; a name other than localhost may lead anywhere.
    public var isLoopback: Bool {
        host.lowercased() == "localhost" || host == "::1"
            || host.hasPrefix("127.")
                && host.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }
    }
}

extension Form where Value == Secret {
    /// A text that is long enough to be a token, and kept out of every fault.
    fileprivate static var token: Form {
        Form("a token", isSecret: true) { text throws(Rejection) in
            if let fault = Settings.HTTP.fault(ofToken: text) { throw Rejection(fault) }
            return Secret(text)
        }
    }
}
