// SPDX-License-Identifier: Apache-2.0
//
// Two servers, one that is copied from and one that is copied to, of any two versions: what a
// test of the postgresql sink starts with. Each is private, as `PostgresCluster` promises.

/// A source and a target; both stop when the last reference goes.
public struct TwinServers: Sendable, CustomStringConvertible {
    /// Where the application writes; its WAL can be decoded.
    public let source: PostgresCluster
    /// Where the copy is kept; its WAL need not hold more than a standby needs.
    public let target: PostgresCluster

    /// Two servers that are there already, or one that is both.
    public init(source: PostgresCluster, target: PostgresCluster) {
        self.source = source
        self.target = target
    }

    /// Starts both, at the same time.
    ///
    /// Neither syncs its files: the machine is not switched off in a test, and a server that is
    /// stopped at once recovers from what the kernel has.
    public static func start(
        _ source: PostgresVersion = .v15,
        _ target: PostgresVersion = .v15,
        settings: [String: String] = [:]
    ) async throws -> TwinServers {
        let common = ["fsync": "off", "deadlock_timeout": "50ms"]
        let ours = common.merging(settings) { $1 }
        async let first = PostgresCluster.start(version: source, settings: ours)
        async let second = PostgresCluster.start(
            version: target,
            settings: common.merging(["wal_level": "replica"]) { $1 }
        )
        return try await TwinServers(source: first, target: second)
    }

    /// `PostgreSQL 14 to PostgreSQL 17`.
    public var description: String { "\(source.version) to \(target.version)" }

    /// The older of the two versions: what both understand.
    public var common: PostgresVersion { min(source.version, target.version) }
}
