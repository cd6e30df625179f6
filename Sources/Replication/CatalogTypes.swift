// SPDX-License-Identifier: Apache-2.0
//
// Types of the source that walrelay does not know by heart: read from pg_type by plain SELECTs,
// so under the connection's own snapshot, and closed over what they are made of.

public import ChangeModel
public import LibPQ

extension SourceCatalog {
    /// The given types, and those that they are arrays of or domains over, each once.
    ///
    /// An OID that the catalog does not have is left out. Blocks.
    public static func types(
        _ oids: some Sequence<UInt32>,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [TypeEntry] {
        var found: [TypeEntry] = []
        var asked: Set<UInt32> = [0]
        var open = Set(oids).subtracting(asked)
        while !open.isEmpty {
            asked.formUnion(open)
            var next: Set<UInt32> = []
            for list in oidLists(open.sorted()) {
                for type in try rows(of: list, on: connection) {
                    found.append(type)
                    next.formUnion([type.element, type.base])
                }
            }
            open = next.subtracting(asked)
        }
        return found
    }

    /// A column's type as people write it, such as `character varying(10)`; `nil` where the
    /// catalog has it no more.
    ///
    /// Blocks.
    public static func typeName(
        of column: Column,
        on connection: borrowing Connection
    ) throws(PostgresError) -> String? {
        let rows = try connection.query(
            """
            SELECT pg_catalog.format_type(t.oid, \(column.typeModifier)) \
            FROM pg_catalog.pg_type t WHERE t.oid = \(column.typeOID)
            """
        )
        return rows.count > 0 ? rows.value(0, 0) : nil
    }

    private static func rows(
        of list: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [TypeEntry] {
        // 751 is array_out: it tells a true array from a fixed-length type with elements, such as
        // int2vector or point, in all versions.
        let rows = try connection.query(
            """
            SELECT t.oid, n.nspname, t.typname, t.typtype, \
            CASE WHEN t.typoutput = 751 THEN t.typelem ELSE 0 END, \
            t.typbasetype, t.typtypmod, t.typdelim \
            FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
            WHERE t.oid IN (\(list)) ORDER BY t.oid
            """
        )
        return (0..<rows.count).compactMap { row in
            guard let oid = rows.oid(row, 0) else { return nil }
            let isDomain = rows.text(row, 3) == "d"
            return TypeEntry(
                oid: oid,
                name: rows.text(row, 2),
                schema: rows.text(row, 1),
                kind: rows.text(row, 3).utf8.first.flatMap(TypeEntry.Kind.init) ?? .base,
                // A domain over an array has the array's output function and no elements itself.
                element: isDomain ? 0 : rows.oid(row, 4) ?? 0,
                base: rows.oid(row, 5) ?? 0,
                baseModifier: isDomain ? Int32(clamping: rows.integer(row, 6) ?? -1) : -1,
                delimiter: rows.text(row, 7).utf8.first ?? UInt8(ascii: ",")
            )
        }
    }
}
