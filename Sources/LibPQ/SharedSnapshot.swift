// SPDX-License-Identifier: Apache-2.0
//
// One view of the data for several connections.

extension Connection {
    /// Begins a transaction that reads what another one exported, and nothing newer; blocks.
    ///
    /// The exporting transaction must be open until this returns; the snapshot lives on with any
    /// transaction that imported it. Throws the server's error: 22023, 42704 or 55000 where the
    /// snapshot is not there (any more).
    public func beginReading(snapshot: String) throws(PostgresError) {
        try query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try query("SET TRANSACTION SNAPSHOT \(SQL.literal(snapshot))")
    }
}
