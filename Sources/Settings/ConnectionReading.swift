// SPDX-License-Identifier: Apache-2.0
//
// The keys of a connection, for the source and the postgresql sink, with the combinations that
// exclude each other; and the keys of the sinks but kafka.

extension Settings.Connection {
    static func read(_ section: Section) -> Self? {
        let conninfo = section.take("conninfo", .secret)
        let hosts = section.take("host", .commaList(of: "a host"))
        let ports = section.take("port", .ports)
        let database = section.take("database", .text)
        let user = section.take("user", .text)
        let literal = section.take("password", .secret)
        let file = section.take(
            "passwordFile",
            .secretFile(from: section.context.baseDirectory)
        )
        let tls = section.section("tls", Settings.TLS.read)
        let connectTimeout = section.take(
            "connectTimeout",
            .duration(in: .seconds(1) ... .seconds(600))
        )
        let applicationName = section.take("applicationName", .text)

        section.exclude(
            ["host", "port", "database", "user", "password"],
            beside: "conninfo"
        )
        section.exclude(["passwordFile"], beside: "password")
        section.notePassword(in: "password")
        if let conninfo, holdsPassword(conninfo) { section.notePassword(in: "conninfo") }
        if let hosts, let ports, ports.count > 1, ports.count != hosts.count {
            section.fault(
                "port",
                "has \(ports.count) ports for \(hosts.count) hosts: give one, or one each"
            )
        }

        if let database, isConnectionString(database) {
            section.fault("database", "is a connection string, which stands in conninfo")
        }
        if hosts?.contains(where: { !"/@".contains($0.prefix(1)) && $0.contains("@") }) == true {
            section.fault("host", "holds an @: the user and the password have keys of their own")
        }

        let target: Target
        if section.has("conninfo") {
            guard let conninfo else { return nil }
            target = .conninfo(conninfo)
        } else {
            section.demand("host", "a host, or conninfo in its place,")
            section.demand("database", "a database")
            guard let hosts, let database else { return nil }
            target = .server(hosts: hosts, ports: ports ?? [], database: database, user: user)
        }
        var connection = Self(target)
        connection.password = literal.map { .literal($0) } ?? file
        connection.tls = tls
        if let connectTimeout { connection.connectTimeout = connectTimeout }
        if let applicationName { connection.applicationName = applicationName }
        return connection
    }

    /// Whether a name is a URI, or gives a password: then it is at the wrong place, and the server
    /// would log it as the name of a database.
    private static func isConnectionString(_ name: String) -> Bool {
        name.hasPrefix("postgresql://") || name.hasPrefix("postgres://")
            || holdsPassword(Secret(name))
    }

    /// Whether a connection string gives a password: `password=`, or `user:password@` of a URI.
    private static func holdsPassword(_ conninfo: Secret) -> Bool {
        let text = conninfo.reveal().lowercased()
        if text.filter({ $0 != " " }).contains("password=") { return true }
        guard text.hasPrefix("postgresql://") || text.hasPrefix("postgres://") else { return false }
        let authority = text.split(separator: "/", maxSplits: 2).dropFirst().first ?? ""
        guard let at = authority.lastIndex(of: "@") else { return false }
        return authority[..<at].contains(":")
    }
}

extension Settings.TLS {
    static func read(_ section: Section) -> Self? {
        var tls = Self()
        let path = Form<String>.path(from: section.context.baseDirectory)
        // libpq takes this word for the authorities of the system.
        let authorities = Form<String>(path.noun) { text throws(Rejection) in
            text == "system" ? text : try path.read(text)
        }
        section.take("mode", .choice, into: &tls.mode)
        tls.rootCertificate = section.take("rootCertificate", authorities)
        tls.certificate = section.take("certificate", path)
        tls.key = section.take("key", path)
        tls.keyPassword = section.take(
            "keyPasswordFile",
            .secretFile(from: section.context.baseDirectory)
        )
        tls.revocationList = section.take("revocationList", path)
        tls.minimumVersion = section.take("minimumVersion", .choice)
        tls.channelBinding = section.take("channelBinding", .choice)

        section.pair("certificate", with: "key")
        section.pair("key", with: "certificate")
        section.pair("keyPasswordFile", with: "key")
        if tls.rootCertificate != nil, [.disable, .allow, .prefer].contains(tls.mode) {
            section.warn(
                "rootCertificate does not protect with mode \(tls.mode.rawValue), which may go on"
                    + " without TLS; verify-full does"
            )
        }
        tls.judge(in: section)
        return tls
    }

    /// What of this cannot be, or does not do what it seems to.
    private func judge(in section: Section) {
        let verifies = [.verifyCA, .verifyFull].contains(mode)
        if mode == .disable, channelBinding == .require {
            section.fault(
                "channelBinding",
                "require cannot be held with mode disable: without TLS there is no channel to bind to"
            )
        }
        if mode != .verifyFull, rootCertificate == "system" {
            section.fault(
                "rootCertificate",
                "system needs mode verify-full: anybody can have a certificate of its authorities"
            )
        }
        if revocationList != nil, !verifies {
            section.warn(
                "revocationList does not protect with mode \(mode.rawValue), which verifies no"
                    + " certificate; verify-full does"
            )
        }
        if mode == .disable {
            for key in ["minimumVersion", "certificate", "key"] where section.has(key) {
                section.warn("\(key) has no effect with mode disable")
            }
        }
    }
}

extension Settings.Sink {
    /// Reads the kind and its section; sections of other kinds are faults.
    static func read(_ section: Section, task: String?) -> Self? {
        let kind: Kind? = section.require("kind", .choice)
        // Sections are read whatever the kind, so that their faults show too.
        let ndjson = section.section("ndjson", NDJSON.read)
        _ = section.section("stream") { _ in () }
        let postgresql = section.section("postgresql", PostgreSQL.read)
        let kafka = section.section("kafka") { Kafka.read($0, task: task) }
        guard let kind else { return nil }

        for other in Kind.allCases where other != kind && section.has(other.rawValue) {
            section.fault(other.rawValue, "does not belong here: sink.kind is \(kind.rawValue)")
        }
        if kind != .stream { section.demand(kind.rawValue, "this kind's section") }
        return switch kind {
        case .ndjson: ndjson.map { .ndjson($0) }
        case .stream: .stream
        case .postgresql: postgresql.map { .postgresql($0) }
        case .kafka: kafka.map { .kafka($0) }
        }
    }
}

extension Settings.Sink.NDJSON {
    static func read(_ section: Section) -> Self? {
        let directory = section.require(
            "directory",
            .path(from: section.context.baseDirectory)
        )
        var ndjson = Self(directory: directory ?? "")
        section.take("rotate", .size(in: (4 << 10)...(1 << 40)), into: &ndjson.rotate)
        return directory == nil ? nil : ndjson
    }
}

extension Settings.Sink.PostgreSQL {
    static func read(_ section: Section) -> Self? {
        let connection = Settings.Connection.read(section)
        let schema = section.take("schema", .targetSchema)
        let createTables = section.take("createTables", .boolean)
        let indexes: Indexes? = section.take("indexes", .choice)
        let ifNotEmpty: NotEmpty? = section.take("ifNotEmpty", .choice)
        let onRowError: RowError? = section.take("onRowError", .choice)
        guard let connection else { return nil }
        var postgresql = Self(connection: connection)
        if let indexes { postgresql.indexes = indexes }
        if let ifNotEmpty { postgresql.ifNotEmpty = ifNotEmpty }
        if let onRowError { postgresql.onRowError = onRowError }
        if let schema { postgresql.schema = schema }
        if let createTables { postgresql.createTables = createTables }
        return postgresql
    }
}
