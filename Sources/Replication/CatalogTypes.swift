// SPDX-License-Identifier: Apache-2.0
//
// Types of the source that walrelay does not know by heart: read from pg_type by plain SELECTs,
// so under the connection's own snapshot, and closed over what they are made of.

public import LibPQ

/// A row of pg_type, as far as the meaning of a text value needs it.
public struct CatalogType: Sendable, Equatable {
    /// The type's OID.
    public var oid: UInt32
    /// The schema's name, unquoted.
    public var schema: String
    /// The type's name, unquoted.
    public var name: String
    /// `pg_type.typtype`: b base, c composite, d domain, e enum, m multirange, p pseudo, r range.
    public var kind: Character
    /// The element's OID of a true array; 0 for all else, int2vector and oidvector included.
    public var element: UInt32
    /// What a domain is made of; 0 for all else.
    public var base: UInt32
    /// The type modifier that a domain gives its base type; -1 where there is none.
    public var baseModifier: Int32
    /// What stands between an array's elements of this type: `,` for nearly all, `;` for box.
    public var delimiter: Character
}

extension SourceCatalog {
    /// The given types, and those that they are arrays of or domains over, each once.
    ///
    /// An OID that the catalog does not have is left out. Blocks.
    public static func types(
        _ oids: some Sequence<UInt32>,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [CatalogType] {
        var found: [CatalogType] = []
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

    private static func rows(
        of list: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [CatalogType] {
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
            return CatalogType(
                oid: oid,
                schema: rows.text(row, 1),
                name: rows.text(row, 2),
                kind: rows.text(row, 3).first ?? "b",
                // A domain over an array has the array's output function and no elements itself.
                element: isDomain ? 0 : rows.oid(row, 4) ?? 0,
                base: rows.oid(row, 5) ?? 0,
                baseModifier: isDomain ? Int32(clamping: rows.integer(row, 6) ?? -1) : -1,
                delimiter: rows.text(row, 7).first ?? ","
            )
        }
    }
}
