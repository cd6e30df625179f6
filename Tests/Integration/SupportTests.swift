// SPDX-License-Identifier: Apache-2.0
//
// The fixtures themselves, where a fault in them would make other tests lie.
import Foundation
import Support
import Testing

struct SupportTests {
    @Test(arguments: PostgresCluster.availableVersions)
    func `a cluster starts, answers, restarts and goes`(version: PostgresVersion) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        #expect(try cluster.psql("SHOW server_version").hasPrefix("\(version.rawValue)"))
        #expect(try cluster.psql("SHOW wal_level; SHOW fsync") == "logical\non")
        let first = try #require(cluster.pid)
        try cluster.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1); SELECT 1")
        try await cluster.restart(.immediate, settings: ["work_mem": "8MB"])
        #expect(cluster.pid != first)
        #expect(try cluster.psql("SELECT a FROM t; SHOW work_mem") == "1\n8MB")
        let directory = cluster.socketDirectory
        try cluster.stop()
        #expect(throws: SupportError.self) { try cluster.psql("SELECT 1") }
        try await cluster.start()
        #expect(try cluster.psql("SELECT a FROM t") == "1")
        try cluster.stop()
        _ = consume cluster
        #expect(!FileManager.default.fileExists(atPath: directory))
    }
}
