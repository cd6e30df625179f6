// SPDX-License-Identifier: Apache-2.0
//
// Several clients that write random transactions into the tables of ShopTables at once, and the
// check that what they wrote was worth something: of the answers only those may be errors that
// the statements mean to provoke.
import Support

/// Clients of the shop, for a time.
struct ShopLoad: Sendable {
    private let clients: [WritingClient]

    /// Unique and foreign keys, deadlocks, and statements of a transaction that has failed.
    ///
    /// And 40001, also without SERIALIZABLE: who waited for a row of `parted` that has meanwhile
    /// moved to another partition is told so, since its new version cannot be followed there.
    private static let meant: Set<String> = [
        "23505", "23503", "40P01", "25P02", "3B001", "40001",
    ]

    /// Starts four clients of so many transactions a second together, bounded for a debug build.
    init(
        _ servers: TwinServers,
        _ tables: ShopTables,
        seed: UInt64,
        seconds: Double,
        perSecond: Double = 40,
        database: String = "postgres"
    ) {
        let count = 4
        clients = (0..<count).map { client in
            WritingClient(
                servers.source,
                database: database,
                seconds: seconds,
                perSecond: perSecond / Double(count)
            ) { number in
                // A transaction has a seed of its own: what a client sends depends on no other.
                let seed = seed &* 1_000_003 &+ UInt64(client * 10_000_000 + number)
                var statements = ShopStatements(tables, seed: seed)
                return statements.transaction()
            }
        }
    }

    /// Transactions that were sent.
    var count: Int { clients.map(\.count).reduce(0, +) }

    /// Waits for the last answer; throws when an answer was an error that nobody meant.
    func wait(_ limit: Duration) async throws {
        for client in clients { try await client.wait(limit) }
        let errors = clients.reduce(into: [:]) { $0.merge($1.errors, uniquingKeysWith: +) }
        let unmeant = errors.filter { !Self.meant.contains($0.key) }
        guard unmeant.isEmpty else { throw SupportError("the load was refused: \(errors)") }
        guard clients.allSatisfy({ $0.connections == 1 }) else {
            throw SupportError("clients ended early: \(clients.map(\.connections)) connections")
        }
        guard count > 0 else { throw SupportError("the load sent nothing") }
        print("the shop's load: \(count) transactions, errors \(errors)")
    }
}
