// SPDX-License-Identifier: Apache-2.0
//
// From a job's step and the target's catalog to the plan of writing: which columns, in which
// types, by which statement; or what about them is wrong.

import ChangeModel
import LibPQ
import Settings

/// Looks at the target's table.
struct TargetInspection {
    let step: Job.PostgreSQLWriter
    let shape: RecordShape
    /// How many writers there will be.
    let channels: Int
    /// Where the target is, for people.
    let destination: String

    /// The plan, with sentences for the operator; nil where the table is not there.
    ///
    /// Blocks. Throws `WalrelayError` for what is wrong with the step.
    func plan(on target: borrowing Connection) throws -> (plan: WritePlan, warnings: [String])? {
        do {
            guard let table = try TargetRelation.find(step.table, on: target) else { return nil }
            return try plan(table, on: target)
        } catch let error as PostgresError {
            throw WriterFault.error(error, while: "looking at \(step.table) of \(destination)")
        }
    }

    /// The error for a table that is not there; blocks.
    func missingTable(on target: borrowing Connection) -> WalrelayError {
        let rows = try? target.query(
            """
            SELECT CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN c.relname \
            ELSE pg_catalog.concat(n.nspname, '.', c.relname) END FROM pg_catalog.pg_class c \
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname::pg_catalog.text !~ '^pg_' \
            AND n.nspname <> 'information_schema' LIMIT 10000
            """
        )
        var names: [String] = []
        if let rows { names = (0..<rows.count).map { rows.text($0, 0) } }
        let nearest = nearestName(to: step.table, among: names)
        return WalrelayError(
            "job.table_missing",
            exit: .settings,
            "the target \(destination) has no table \(step.table)"
                + (nearest.map { "; did you mean \($0)?" } ?? ""),
            hint: "make it, or have a statement of preSql make it; a table outside of the search "
                + "path is written schema.table"
        )
    }

    private func plan(
        _ table: TargetRelation,
        on target: borrowing Connection
    ) throws -> (plan: WritePlan, warnings: [String]) {
        guard ["r", "p", "v", "f"].contains(table.kind) else {
            throw WalrelayError(
                "job.table_unfit",
                exit: .settings,
                "\(table) of \(destination) is no table that can be written",
                hint: "name a table, a partitioned or foreign table, or a view with triggers"
            )
        }
        let places = try writtenPlaces(table)
        let columns = places.map { table.columns[$0].written }
        var warnings: [String] = []
        var statement = WriteStatement(
            table: table.qualified,
            columns: columns,
            values: try values(of: columns, places, table, on: target)
        )
        statement.key = try key(among: places, table, on: target, &warnings)
        try WriteRights(mode: step.mode, key: statement.key)
            .check(places.map { table.columns[$0] }, of: table, destination, on: target)
        let format = format(of: columns, on: target)
        let text =
            switch step.mode {
            case .copy: statement.copy(format.rawValue)
            case .insert: statement.insert
            case .upsert: statement.upsert
            case .update: statement.update
            }
        var plan = WritePlan(
            table: table,
            columns: columns,
            step: step,
            channels: channels,
            format: format,
            statement: text,
            values: statement.values
        )
        if step.mode == .insert, step.types.isEmpty, table.takesCopyAsInsert {
            plan.largeStatement = statement.copy(CopyFormat.text.rawValue)
        }
        try prepare(plan, on: target)
        return (plan, warnings)
    }

    /// The places of the columns that are written, in the order of the records' values.
    private func writtenPlaces(_ table: TargetRelation) throws(WalrelayError) -> [Int] {
        var places: [Int] = []
        for spelling in step.columns {
            if spelling == "*" {
                places += table.columns.indices.filter { !table.columns[$0].isGenerated }
                continue
            }
            guard let place = table.place(of: spelling) else { throw table.missing(spelling) }
            guard !table.columns[place].isGenerated else {
                throw WalrelayError(
                    "job.column_generated",
                    exit: .settings,
                    "column \(spelling) of \(table) is computed by the server, not written",
                    hint: "leave it out, on both sides"
                )
            }
            places.append(place)
        }
        guard !places.isEmpty else {
            throw WalrelayError(
                "job.table_unfit",
                exit: .settings,
                "\(table) of \(destination) has no column that could be written"
            )
        }
        if let twice = places.first(where: { place in places.count { $0 == place } > 1 }) {
            throw WalrelayError(
                "job.column_repeated",
                exit: .settings,
                "column \(table.columns[twice].written.name) of \(table) is to be written twice",
                hint: "name each column once"
            )
        }
        // A source without columns, as the vendor's own sample of a writer has it, has no records.
        guard shape.columns.isEmpty || places.count == shape.columns.count else {
            throw unequal(table, places)
        }
        return places
    }

    private func unequal(_ table: TargetRelation, _ places: [Int]) -> WalrelayError {
        let given = shape.columns.map(\.name).joined(separator: ", ").cut(to: 300)
        let written = places.map { table.columns[$0].written.name }.joined(separator: ", ")
        return WalrelayError(
            "job.columns_unequal",
            exit: .settings,
            "the reader gives \(Prose.count(shape.columns.count, "column")) (\(given)), the writer "
                + "writes \(places.count) of \(table) (\(written.cut(to: 300)))",
            hint: "name the columns in `column` of both, in the same order"
        )
    }

    /// The places, among the values, of the columns that find a row.
    private func key(
        among places: [Int],
        _ table: TargetRelation,
        on target: borrowing Connection,
        _ warnings: inout [String]
    ) throws -> [Int] {
        guard step.mode == .upsert || step.mode == .update else { return [] }
        var key: [Int] = []
        for spelling in step.uniqueKey {
            guard let place = table.place(of: spelling) else { throw table.missing(spelling) }
            guard let member = places.firstIndex(of: place) else {
                throw WalrelayError(
                    "job.unique_key",
                    exit: .settings,
                    "column \(spelling) of uniqueKey is not among the columns that are written",
                    hint: "add it to `column`"
                )
            }
            if !key.contains(member) { key.append(member) }
        }
        let names = key.map { table.columns[places[$0]].written.quoted }.joined(separator: ", ")
        let isUnique = try table.hasUniqueIndex(on: key.map { places[$0] }, target)
        if step.mode == .upsert, !isUnique {
            throw WalrelayError(
                "job.unique_key",
                exit: .settings,
                "\(table) has no unique index on (\(names)) that an upsert could go by",
                hint: "CREATE UNIQUE INDEX ON \(table.qualified) (\(names));"
            )
        }
        guard step.mode == .update else { return key }
        if !isUnique {
            warnings.append(
                "\(table) has no unique index on (\(names)): a record updates each row that it "
                    + "finds, and finding it may read the whole table for each batch"
            )
        }
        let others = places.indices.filter { !key.contains($0) }
        guard !others.isEmpty else {
            throw WalrelayError(
                "job.unique_key",
                exit: .settings,
                "an update of \(table) has nothing to set: all columns are in uniqueKey",
                hint: "write further columns, or name fewer in uniqueKey"
            )
        }
        if let fixed = others.first(where: { table.columns[places[$0]].written.isAlwaysIdentity }) {
            throw WalrelayError(
                "job.column_generated",
                exit: .settings,
                "column \(table.columns[places[fixed]].written.name) of \(table) is GENERATED "
                    + "ALWAYS AS IDENTITY and cannot be updated",
                hint: "leave it out, on both sides, or add it to uniqueKey"
            )
        }
        return key
    }

    /// Binary where a COPY goes between the same types, whose form is the same on both sides.
    private func format(of columns: [WrittenColumn], on target: borrowing Connection) -> CopyFormat
    {
        guard step.mode == .copy, shape.allowsBinary,
            target.parameterStatus("integer_datetimes") == "on"
        else { return .text }
        let isShared = zip(shape.columns, columns).allSatisfy { source, column in
            BinaryForm.isShared(
                source: source.typeOID,
                target: column.typeOID,
                version: target.serverVersion
            )
        }
        return isShared ? .binary : .text
    }

    /// Has the server read the statement, so that what is wrong with it shows before the first row.
    private func prepare(
        _ plan: WritePlan,
        on target: borrowing Connection
    ) throws(WalrelayError) {
        guard plan.mode != .copy else { return }
        do throws(PostgresError) {
            try plan.prepare(as: "walrelay_check", on: target)
            try target.query("DEALLOCATE walrelay_check")
        } catch {
            throw WriterFault.error(
                error,
                while:
                    "preparing the \(plan.mode.rawValue) into \(plan.tableName) of \(destination)",
                statement: plan.statement
            )
        }
    }
}

extension WritePlan {
    /// Prepares the statement under a name of the session; blocks.
    func prepare(as name: String, on target: borrowing Connection) throws(PostgresError) {
        try target.prepare(
            name,
            statement,
            types: [UInt32](repeating: TextArrayForm.typeOID, count: columns.count),
            within: .seconds(600)
        )
    }
}
