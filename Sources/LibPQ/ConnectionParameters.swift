// SPDX-License-Identifier: Apache-2.0
//
// What a connection is made with: libpq's own keywords, plus what walrelay pins on every session
// so that a value has the same text in the snapshot and in the stream.

import CLibPQ
public import ChangeModel

/// The keywords of a connection.
///
/// Holds a password, which no printed form shows.
public struct ConnectionParameters: Sendable {
    /// libpq's keywords and their values.
    ///
    /// `dbname` may be a whole connection string or URI.
    public var keywords: [String: String]
    /// How long making a connection may take, all hosts together.
    public var connectTimeout: Duration
    /// The task that the session works for; it stands in the session's name.
    public var task: String?
    /// What the session is for: its name and its time limits.
    var purpose: SessionPurpose?
    /// Names of the pinned session settings that are left to the server, the role or the database.
    ///
    /// For sessions that run statements of a user, who expects them to mean there what they mean
    /// elsewhere: `search_path`, `TimeZone`.
    public var unpinned: Set<String> = []
    /// Gives the keywords that may change while a task runs, each time a connection is made.
    ///
    /// They win over `keywords`. So a password that was rotated in its file is taken up by the
    /// next connection. May block on a file; what it throws ends the attempt.
    public var refresh: (@Sendable () throws(WalrelayError) -> [String: String])?

    /// Parameters from libpq's keywords.
    public init(
        keywords: [String: String],
        connectTimeout: Duration = .seconds(10),
        refresh: (@Sendable () throws(WalrelayError) -> [String: String])? = nil
    ) {
        self.keywords = keywords
        self.connectTimeout = connectTimeout
        self.refresh = refresh
    }

    /// The same with what is true at this moment.
    func refreshed() throws(PostgresError) -> ConnectionParameters {
        guard let refresh else { return self }
        var copy = self
        do {
            copy.keywords.merge(try refresh()) { _, now in now }
        } catch {
            throw PostgresError(cause: error)
        }
        return copy
    }

    /// The same for a connection that speaks the replication protocol.
    public var replication: ConnectionParameters {
        var copy = self
        copy.keywords["replication"] = "database"
        return copy
    }

    /// Where the connection goes, for people: never holds a password.
    public var destination: String {
        guard !hasMalformedConninfo,
            let host = keywords["host"] ?? conninfoValue("host") ?? conninfoValue("hostaddr")
        else { return "the server that conninfo names" }
        return "\(host):\(keywords["port"] ?? conninfoValue("port") ?? "5432")/\(database)"
    }

    /// The database that libpq would ask for; empty where only its own defaults say.
    public var database: String {
        isConninfo ? conninfoValue("dbname") ?? "" : keywords["dbname"] ?? ""
    }

    /// Whether `dbname` is meant as a connection string or URI and cannot be read as one, or not
    /// as it is meant.
    ///
    /// Of a password in a URI that has a `/` or an `@` without percent encoding libpq takes a part
    /// for a host, a port or a database, which every message then quotes.
    var hasMalformedConninfo: Bool {
        if Self.holdsLogin(keywords["host"]) { return true }
        guard isConninfo, let given = keywords["dbname"] else { return false }
        guard withConninfo({ _ in }), !Self.holdsLogin(conninfoValue("host")) else { return true }
        guard given.hasPrefix("postgres://") || given.hasPrefix("postgresql://") else {
            return false
        }
        let parts = given.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
        let path = parts.count > 3 ? parts[3].prefix { $0 != "?" } : ""
        let port = conninfoValue("port") ?? ""
        return path.contains("@")
            || !port.utf8.allSatisfy { (48...57).contains($0) || $0 == UInt8(ascii: ",") }
    }

    /// Whether `user:password@` stands before a host; a socket's path, or its name, may have an @.
    private static func holdsLogin(_ hosts: String?) -> Bool {
        (hosts ?? "").split(separator: ",").contains {
            $0.dropFirst().contains("@") && !$0.hasPrefix("/") && !$0.hasPrefix("@")
        }
    }

    // As libpq's recognized_connection_string().
    private var isConninfo: Bool {
        guard let given = keywords["dbname"] else { return false }
        return given.utf8.contains(UInt8(ascii: "=")) || given.hasPrefix("postgres://")
            || given.hasPrefix("postgresql://")
    }

    /// What the connection string in `dbname` says for a keyword; `nil` where it says nothing.
    private func conninfoValue(_ keyword: String) -> String? {
        var found: String?
        withConninfo { option in
            guard let name = option.keyword, let value = option.val else { return }
            if String(cString: name) == keyword { found = String(cString: value) }
        }
        return found
    }

    /// Lends each option of the connection string; false where it cannot be read.
    @discardableResult
    func withConninfo(_ body: (PQconninfoOption) -> Void) -> Bool {
        guard isConninfo, let given = keywords["dbname"] else { return true }
        guard let options = PQconninfoParse(given, nil) else { return false }
        defer { PQconninfoFree(options) }
        var next = options
        while next.pointee.keyword != nil {
            body(next.pointee)
            next += 1
        }
        return true
    }

    /// Session settings on which the text of values depends, and how it is read, and limits that
    /// would end a session.
    static let pinnedSettings = [
        "DateStyle": "ISO", "IntervalStyle": "iso_8601", "TimeZone": "UTC",
        "extra_float_digits": "3", "bytea_output": "hex", "lc_monetary": "C",
        "idle_in_transaction_session_timeout": "0", "statement_timeout": "0", "lock_timeout": "0",
        "search_path": "pg_catalog", "xmlbinary": "base64", "quote_all_identifiers": "off",
        "standard_conforming_strings": "on", "array_nulls": "on", "xmloption": "content",
    ]

    /// Bounds after which a server gives up a client that has gone without a word, on every session
    /// of ours: its own default is two hours.
    static let keepalives = [
        "tcp_keepalives_count": "3", "tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10",
    ]

    /// What libpq is given, in the order in which a later one wins: our defaults, the connection
    /// string (libpq expands it at its place), the caller's keywords, what is pinned.
    var effectiveKeywords: [(String, String)] {
        let defaults = [
            ("fallback_application_name", sessionName), ("keepalives_count", "3"),
            ("keepalives_idle", "30"), ("keepalives_interval", "10"), ("tcp_user_timeout", "60000"),
        ]
        let given = keywords.filter { !["dbname", "options", "client_encoding"].contains($0.key) }
            .sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        let limits = (purpose?.limits ?? [:]).mapValues { "\($0)" }
        let settings = Self.pinnedSettings.merging(limits) { $1 }
            .filter { !unpinned.contains($0.key) }
        let options =
            Self.options(Self.keepalives)
            + [keywords["options"] ?? conninfoValue("options")].compactMap { $0 }
            + Self.options(settings)
        let pinned = [
            ("client_encoding", "UTF8"), ("options", options.joined(separator: " ")),
        ]
        return defaults + (keywords["dbname"].map { [("dbname", $0)] } ?? []) + given + pinned
    }

    private static func options(_ settings: [String: String]) -> [String] {
        settings.sorted { $0.key < $1.key }.map { "-c \($0.key)=\($0.value)" }
    }
}

extension ConnectionParameters: CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// Where the connection goes.
    public var description: String { destination }
    /// The same.
    public var debugDescription: String { destination }
    /// A mirror without children.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
