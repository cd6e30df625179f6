// SPDX-License-Identifier: Apache-2.0
//
// What a connection is made with: libpq's own keywords, plus what walrelay pins on every session
// so that a value has the same text in the snapshot and in the stream.

import CLibPQ

/// The keywords of a connection.
///
/// Holds a password; has no description on purpose.
public struct ConnectionParameters: Sendable {
    /// libpq's keywords and their values.
    ///
    /// `dbname` may be a whole connection string or URI.
    public var keywords: [String: String]
    /// How long making a connection may take, all hosts together.
    public var connectTimeout: Duration

    /// Parameters from libpq's keywords.
    public init(keywords: [String: String], connectTimeout: Duration = .seconds(10)) {
        self.keywords = keywords
        self.connectTimeout = connectTimeout
    }

    /// The same for a connection that speaks the replication protocol.
    public var replication: ConnectionParameters {
        var copy = self
        copy.keywords["replication"] = "database"
        return copy
    }

    /// Where the connection goes, for people: never holds a password.
    public var destination: String {
        if let host = keywords["host"] {
            return "\(host):\(keywords["port"] ?? "5432")/\(keywords["dbname"] ?? "")"
        }
        return "the server that conninfo names"
    }

    /// The database that libpq would ask for; empty where only its own defaults say.
    public var database: String {
        guard let given = keywords["dbname"] else { return "" }
        var message: UnsafeMutablePointer<CChar>?
        let isConninfo = given.contains("=") || given.contains("://")
        guard isConninfo, let options = PQconninfoParse(given, &message) else {
            PQfreemem(message)
            return isConninfo ? "" : given
        }
        defer { PQconninfoFree(options) }
        var next = options
        while let keyword = next.pointee.keyword {
            if String(cString: keyword) == "dbname", let value = next.pointee.val {
                return String(cString: value)
            }
            next += 1
        }
        return ""
    }

    /// Session settings on which the text of values depends, and limits that would end a session.
    static let pinnedSettings = [
        "DateStyle": "ISO", "IntervalStyle": "iso_8601", "TimeZone": "UTC",
        "extra_float_digits": "3", "bytea_output": "hex", "lc_monetary": "C",
        "idle_in_transaction_session_timeout": "0", "statement_timeout": "0", "lock_timeout": "0",
        "search_path": "pg_catalog", "xmlbinary": "base64",
    ]

    /// What libpq is given: the caller's keywords over the defaults.
    var effectiveKeywords: [(String, String)] {
        let options = Self.pinnedSettings.sorted { $0.key < $1.key }
            .map { "-c \($0.key)=\($0.value)" }.joined(separator: " ")
        let defaults = [
            "client_encoding": "UTF8", "fallback_application_name": "walrelay",
            "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3",
            "tcp_user_timeout": "60000",
        ]
        var merged = defaults.merging(keywords) { _, given in given }
        let given = merged["options"].map { "\($0) " } ?? ""
        merged["options"] = given + options
        // A whole connection string in dbname is expanded at its place, so it has to come first
        // for the keywords after it to win.
        return merged.sorted { left, right in
            (left.key == "dbname" ? 0 : 1, left.key) < (right.key == "dbname" ? 0 : 1, right.key)
        }
    }
}
