// SPDX-License-Identifier: Apache-2.0
//
// The PostgreSQL builds a test may run against: Debian's 15, and those that
// scripts/fetch-postgres has put into its cache. One promise: what `available` lists can run.
import Foundation
import Glibc

/// A major version of the server.
public enum PostgresVersion: Int, Sendable, CaseIterable, Comparable, CustomStringConvertible {
    case v11 = 11
    case v13 = 13
    case v14 = 14
    case v15 = 15
    case v16 = 16
    case v17 = 17
    case v18 = 18

    /// `PostgreSQL 15`.
    public var description: String { "PostgreSQL \(rawValue)" }

    /// Orders by age.
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// Those that can be started on this machine, oldest first.
    public static let available = allCases.filter(\.isAvailable)

    /// Whether its server program is there.
    public var isAvailable: Bool { access(program("postgres"), X_OK) == 0 }

    /// The directory that holds bin and lib.
    public var root: String {
        let debian = "/usr/lib/postgresql/\(rawValue)"
        if access("\(debian)/bin/postgres", X_OK) == 0 { return debian }
        return "\(Self.cache)/\(rawValue)"
    }

    /// The path of one of its programs, such as `pgbench` or `pg_recvlogical`.
    public func program(_ name: String) -> String { "\(root)/bin/\(name)" }

    /// The environment its programs need: its own libraries, C locale, no PG* from outside.
    public var environment: [String: String] {
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("PG") }
        variables["LC_ALL"] = "C"
        variables["TZ"] = "UTC"
        if root.hasPrefix(Self.cache) { variables["LD_LIBRARY_PATH"] = "\(root)/lib" }
        return variables
    }

    /// Where scripts/fetch-postgres puts them: it decides by the same rule.
    private static let cache: String = {
        let variables = ProcessInfo.processInfo.environment
        if let directory = variables["WALRELAY_PG_DIR"], !directory.isEmpty { return directory }
        if geteuid() == 0 { return "/var/cache/walrelay/postgres" }
        let home = variables["HOME"] ?? "/nonexistent"
        return "\(variables["XDG_CACHE_HOME"] ?? "\(home)/.cache")/walrelay/postgres"
    }()
}
