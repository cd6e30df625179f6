// SPDX-License-Identifier: Apache-2.0
//
// Connections of the product to a test's cluster, and what the server itself says of a slot.

import ChangeModel
import Foundation
import LibPQ
import PgOutput
import Replication
import Support

extension PostgresCluster {
    /// How the product connects to this cluster, over TCP.
    func parameters(
        database: String = "postgres",
        user: String = "postgres"
    )
        -> ConnectionParameters
    {
        ConnectionParameters(
            keywords: ["host": host, "port": "\(port)", "dbname": database, "user": user]
        )
    }

    /// Runs `body` with a connection, on a thread of its own.
    func withConnection<Value: Sendable>(
        database: String = "postgres",
        user: String = "postgres",
        replication: Bool = false,
        _ body: @escaping @Sendable (borrowing Connection) throws -> Value
    ) async throws -> Value {
        let parameters = parameters(database: database, user: user)
        return try await onThread {
            let connection = try Connection.open(
                replication ? parameters.replication : parameters
            )
            return try body(connection)
        }
    }
}

extension TableSelection {
    /// A selection from `schema.table` texts; `*` is a pattern.
    init(_ texts: String..., exclude: [String] = []) {
        self.init(
            include: texts.map { TableRule(pattern: TablePattern(text: $0)) },
            exclude: exclude.map { TablePattern(text: $0) }
        )
    }
}

extension TablePattern {
    init(text: String) {
        let halves = text.split(separator: ".", maxSplits: 1).map(String.init)
        func part(_ text: String) -> Part { text.contains("*") ? .glob(text) : .exact(text) }
        self.init(schema: part(halves[0]), name: part(halves[1]))
    }
}

/// The relation messages that the server sends for what a slot still has to decode.
func relationMessages(
    slot: String,
    publication: String,
    on connection: borrowing Connection
) throws -> [UInt32: Relation] {
    let rows = try connection.query(
        """
        SELECT encode(data, 'hex') FROM pg_logical_slot_peek_binary_changes(\
        \(SQL.literal(slot)), NULL, NULL, 'proto_version', '1', \
        'publication_names', \(SQL.literal(SQL.identifier(publication))))
        """
    )
    var relations: [UInt32: Relation] = [:]
    for row in 0..<rows.count {
        let bytes = bytes(hex: rows.text(row, 0))
        guard bytes.first == UInt8(ascii: "R") else { continue }
        var cells: [Cell] = []
        let message = try PgOutputDecoder().decode(bytes.span, arenaOffset: 0, cells: &cells)
        if case .relation(let relation) = message { relations[relation.oid] = relation }
    }
    return relations
}

private func bytes(hex: String) -> [UInt8] {
    let digits = Array(hex.utf8)
    return stride(from: 0, to: digits.count - 1, by: 2).compactMap { index in
        UInt8(String(decoding: digits[index...(index + 1)], as: UTF8.self), radix: 16)
    }
}
