// SPDX-License-Identifier: Apache-2.0
//
// What becomes of slots between the answer to the question and the drop: others drop some, and
// start tasks on others. What was agreed to and still holds is done all the same.

import ChangeModel
import Foundation
import Glibc
import LibPQ
import Support
import Testing

@testable import Commands

@Suite struct SlotsDropRaceTests {
    private static func connect(_ cluster: PostgresCluster) throws -> Connection {
        try Connection.open(
            ConnectionParameters(keywords: [
                "host": cluster.host, "port": "\(cluster.port)", "dbname": "postgres",
                "user": cluster.superuser,
            ])
        )
    }

    @Test(arguments: [.v11, .v15, .v18].filter(\PostgresVersion.isAvailable))
    func `what went or came into use meanwhile keeps its own slot only`(
        version: PostgresVersion
    ) async throws {
        let cluster = try await PostgresCluster.start(version: version)
        for name in ["gone", "busy", "idle"] {
            try cluster.psql(
                "SELECT pg_create_logical_replication_slot('di_slot_\(name)', 'pgoutput')"
            )
            try cluster.psql("CREATE PUBLICATION di_pub_\(name)")
        }
        let wish = SlotsDropWish(
            tasks: ["gone", "busy", "idle"],
            olderThan: nil,
            retainedMoreThan: nil,
            publications: true
        )
        let agreed = try await onThread { try wish.plan(on: Self.connect(cluster)).drops }
        #expect(agreed.count == 3)
        try cluster.psql("SELECT pg_drop_replication_slot('di_slot_gone')")
        let reader = try cluster.spawn(
            "pg_recvlogical",
            [
                "-d", "postgres", "--slot", "di_slot_busy", "--start", "-f", "/dev/null",
                "-o", "proto_version=1", "-o", "publication_names=di_pub_busy",
            ]
        )
        defer { reader.signal(SIGKILL) }
        try await eventually("the slot is in use") {
            try cluster.psql(
                "SELECT active FROM pg_replication_slots WHERE slot_name = 'di_slot_busy'"
            ) == "t"
        }
        let refusal = try await #require(throws: WalrelayError.self) {
            try await onThread { try wish.drop(agreed, on: Self.connect(cluster)) }
        }
        #expect(refusal.code == "slot.active" && refusal.exit == .prerequisite)
        #expect(try cluster.psql("SELECT slot_name FROM pg_replication_slots") == "di_slot_busy")
        #expect(try cluster.psql("SELECT pubname FROM pg_publication") == "di_pub_busy")
    }
}
