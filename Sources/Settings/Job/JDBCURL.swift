// SPDX-License-Identifier: Apache-2.0
//
// A JDBC URL of PostgreSQL in libpq's terms. The driver's parameters that mean something to libpq
// are translated; those that only steer the driver itself are named, so that nobody relies on them.

/// `jdbc:postgresql://host:port,host/database?name=value&…`; holds a password if the URL does.
struct JDBCURL: Equatable {
    private var hosts: [String] = []
    /// As many as hosts.
    private var ports: [UInt16] = []
    private var database = ""
    private var user: String?
    private(set) var password: Secret?
    private var tls: Settings.TLS?
    /// `ssl`, which `sslmode` overrules; `sslfactory` may take the verification away.
    private var encrypts = false
    private var validates = true
    private var mode: Settings.TLS.Mode?
    private var connectTimeout: Duration?
    private var applicationName: String?
    /// libpq's keywords that no other property has.
    private var keywords: [String: String] = [:]
    private var options: [String] = []
    /// The driver's parameters that do nothing here.
    private(set) var idleParameters: Set<String> = []

    /// Reads a URL; the rejection completes a sentence on it and holds nothing of it but names.
    init(_ text: String) throws(Rejection) {
        let scheme = "jdbc:postgresql:"
        guard text.lowercased().hasPrefix(scheme) else {
            throw Rejection("is not of the form jdbc:postgresql://host:port/database")
        }
        let parts = text.dropFirst(scheme.count).split(
            separator: "?",
            maxSplits: 1,
            omittingEmptySubsequences: false
        )
        var name = parts.first ?? ""
        if name.hasPrefix("//") {
            let server = name.dropFirst(2).prefix { $0 != "/" }
            name = name.dropFirst(2 + server.count)
            try readHosts(server)
        }
        if hosts.isEmpty { (hosts, ports) = (["localhost"], [5432]) }
        database = try Self.decoded(name.first == "/" ? name.dropFirst() : name)
        for pair in (parts.count > 1 ? parts[1] : "").split(separator: "&") {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            try take(
                try Self.decoded(sides.first ?? ""),
                try Self.decoded(sides.count > 1 ? sides[1] : "")
            )
        }
        if let mode = mode ?? (encrypts ? validates ? .verifyFull : .require : nil) {
            var settings = tls ?? Settings.TLS()
            settings.mode = mode
            tls = settings
        }
    }

    private mutating func readHosts(_ server: Substring) throws(Rejection) {
        for entry in server.split(separator: ",") {
            var host = entry
            var port: UInt16? = 5432
            let bracket = entry.lastIndex(of: "]") ?? entry.startIndex
            if let colon = entry[bracket...].lastIndex(of: ":") {
                let digits = entry[entry.index(after: colon)...]
                port = digits.utf8.allSatisfy({ (48...57).contains($0) }) ? UInt16(digits) : nil
                host = entry[..<colon]
            }
            if host.first == "[", host.last == "]" { host = host.dropFirst().dropLast() }
            guard let port, port > 0 else {
                throw Rejection("has no port from 1 to 65535 behind a host")
            }
            guard !host.contains("@") else {
                throw Rejection("has an @ in a host: user and password are parameters behind the ?")
            }
            hosts.append(host.isEmpty ? "localhost" : try Self.decoded(host))
            ports.append(port)
        }
    }

    private mutating func take(_ name: String, _ value: String) throws(Rejection) {
        switch name {
        case "": break
        case "user": user = value.isEmpty ? nil : value
        case "password": password = value.isEmpty ? nil : Secret(value)
        case "ApplicationName": applicationName = value
        case "currentSchema": options.append("-c search_path=\(Self.escaped(value))")
        case "options": options.append(value)
        case "connectTimeout", "loginTimeout": try takeTimeout(name, value)
        case "tcpKeepAlive": keywords["keepalives"] = value.lowercased() == "true" ? "1" : "0"
        case "targetServerType": try takeServerType(value)
        case "gssEncMode": keywords["gssencmode"] = value
        case "channelBinding": keywords["channel_binding"] = value
        case "kerberosServerName": keywords["krbsrvname"] = value
        case "requireAuth": keywords["require_auth"] = value
        case "ssl", "sslmode", "sslfactory", "sslrootcert", "sslcert", "sslkey", "sslpassword":
            try takeTLS(name, value)
        default: idleParameters.insert(name)
        }
    }

    private mutating func takeTimeout(_ name: String, _ value: String) throws(Rejection) {
        guard let seconds = Double(value), seconds >= 0, seconds <= 1_000_000 else {
            throw Rejection("has in \(name) no number of seconds")
        }
        // 0 is the driver's word for no limit; ours has one.
        if seconds > 0 { connectTimeout = .seconds(min(600, max(1, seconds))) }
    }

    private mutating func takeServerType(_ value: String) throws(Rejection) {
        keywords["target_session_attrs"] =
            switch value.lowercased() {
            case "any", "preferprimary": "any"
            case "primary", "master": "primary"
            case "secondary", "slave": "standby"
            case "prefersecondary", "preferslave": "prefer-standby"
            default: throw Rejection("has in targetServerType none of any, primary, secondary")
            }
    }

    private mutating func takeTLS(_ name: String, _ value: String) throws(Rejection) {
        switch name {
        // Without a value it is on.
        case "ssl": encrypts = value.isEmpty || value.lowercased() == "true"
        case "sslmode":
            mode = Settings.TLS.Mode(rawValue: value.lowercased())
            guard mode != nil else {
                let names = Settings.TLS.Mode.allCases.map(\.rawValue).joined(separator: ", ")
                throw Rejection("has in sslmode none of \(names)")
            }
        case "sslfactory":
            validates = !value.hasSuffix("NonValidatingFactory")
            if validates { idleParameters.insert(name) }
        default:
            var settings = tls ?? Settings.TLS()
            switch name {
            case "sslrootcert": settings.rootCertificate = value
            case "sslcert": settings.certificate = value
            case "sslkey": settings.key = value
            default: settings.keyPassword = .literal(Secret(value))
            }
            tls = settings
        }
    }

    /// What a connection is, with the login that stands beside the URL.
    func connection(
        user: String?,
        password: Secret?,
        mayBeStandby: Bool
    ) throws(Rejection) -> Settings.Connection {
        let user = user ?? self.user
        // The driver's default, and libpq's.
        let database = database.isEmpty ? user ?? "" : database
        guard !database.isEmpty else {
            throw Rejection("names no database: jdbc:postgresql://host:port/database")
        }
        var connection = Settings.Connection(
            .server(hosts: hosts, ports: ports, database: database, user: user)
        )
        connection.password = (password ?? self.password).map { .literal($0) }
        connection.tls = tls
        if let connectTimeout { connection.connectTimeout = connectTimeout }
        if let applicationName { connection.applicationName = applicationName }
        connection.furtherKeywords = keywords
        if !options.isEmpty {
            connection.furtherKeywords["options"] = options.joined(separator: " ")
        }
        if mayBeStandby, hosts.count > 1, keywords["target_session_attrs"] == nil {
            connection.furtherKeywords["target_session_attrs"] = "any"
        }
        return connection
    }

    /// Several URLs as one that tries each host; nil when they differ in more than that.
    static func merged(_ urls: [JDBCURL]) -> JDBCURL? {
        guard var merged = urls.first else { return nil }
        for url in urls.dropFirst() {
            var same = url
            (same.hosts, same.ports) = (urls[0].hosts, urls[0].ports)
            guard same == urls[0] else { return nil }
            for (host, port) in zip(url.hosts, url.ports)
            where !zip(merged.hosts, merged.ports).contains(where: { $0 == (host, port) }) {
                merged.hosts.append(host)
                merged.ports.append(port)
            }
        }
        return merged
    }

    /// A value within `options`, where a blank ends it.
    private static func escaped(_ value: String) -> String {
        String(
            String.UnicodeScalarView(
                value.unicodeScalars.flatMap { scalar -> [Unicode.Scalar] in
                    scalar == "\\" || scalar.properties.isWhitespace ? ["\\", scalar] : [scalar]
                }
            )
        )
    }

    /// The text with its percent escapes replaced.
    private static func decoded(_ text: Substring) throws(Rejection) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                // The driver decodes as forms are decoded.
                bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2,
                digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16), value > 0
            else { throw Rejection("has a % that begins no escape such as %20; % itself is %25") }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw Rejection("has % escapes that are not UTF-8")
        }
        return decoded
    }
}

extension Form where Value == JDBCURL {
    /// A JDBC URL, which may hold a password.
    static var jdbcURL: Form {
        Form("a URL such as jdbc:postgresql://host:port/database", isSecret: true) {
            text throws(Rejection) in try JDBCURL(text)
        }
    }
}
