// SPDX-License-Identifier: Apache-2.0
//
// Types as a server's catalog describes them, closed over what they are made of: the elements of
// arrays, the bases of domains, the attributes of composites. Read from either server.

import ChangeModel
import LibPQ

/// A type together with a modifier: what a column is declared as.
struct TypeUse: Sendable, Hashable {
    var oid: UInt32
    var modifier: Int32

    init(_ oid: UInt32, _ modifier: Int32 = -1) {
        self.oid = oid
        self.modifier = modifier
    }

    init(_ column: Column) {
        self.init(column.typeOID, column.typeModifier)
    }
}

/// A row of pg_type, and what the catalog has on it elsewhere.
struct CatalogType: Sendable {
    /// A column of a composite type.
    struct Attribute: Sendable {
        var name: String
        var type: TypeUse
        /// Where it is not the type's own.
        var collation: TableName?
    }

    var oid: UInt32
    var schema: String
    @ExactText var name: String
    var kind: TypeEntry.Kind
    /// The element's OID for a true array, otherwise 0.
    var element: UInt32 = 0
    var delimiter = ","
    /// What a domain is over; the OID is 0 for other types.
    var base = TypeUse(0)
    var isRequired = false
    /// Whether a domain, or the type itself, has a default.
    var hasDefault = false
    /// A domain's collation where it is not its base's.
    var collation: TableName?
    /// The extension that the type came with.
    var `extension`: String?
    /// False for the row type of a table.
    var isFreeStanding = true
    /// An enum's labels in their order.
    var labels: [String] = []
    /// A domain's constraints: name and definition.
    var checks: [(name: String, definition: String)] = []
    var attributes: [Attribute] = []

    /// Whether initdb made it, so that every server of that version has it.
    var isSystem: Bool {
        `extension` == nil && (schema == "pg_catalog" || schema == "information_schema")
    }
}

/// The types of one database that somebody asked for.
struct CatalogTypes: Sendable {
    private(set) var entries: [UInt32: CatalogType] = [:]
    /// `format_type` of the uses that were asked for and of those that they lead to.
    private(set) var texts: [TypeUse: String] = [:]
    let serverVersion: Int

    /// What a use is printed as; `nil` where the catalog has the type no more.
    func text(_ use: TypeUse) -> String? { texts[use] }

    /// The type of an OID; `nil` where the catalog has it no more.
    subscript(_ oid: UInt32) -> CatalogType? { entries[oid] }

    /// The type below all domains, with the modifier that holds there.
    func underlying(_ use: TypeUse) -> TypeUse {
        var use = use
        // The server keeps domains free of cycles; the bound guards against a torn catalog.
        for _ in 0..<TypeCatalog.depthLimit {
            guard let entry = entries[use.oid], entry.kind == .domain else { break }
            use = entry.base
        }
        return use
    }

    /// Reads the types of `uses` and all that they are made of; blocks.
    ///
    /// `known` is what a checkpoint remembers: it stands in for OIDs that the catalog has no more.
    init(
        of uses: some Sequence<TypeUse>,
        known: [TypeEntry] = [],
        on connection: borrowing Connection
    ) throws(PostgresError) {
        serverVersion = connection.serverVersion
        var uses = Set(uses)
        var asked: Set<UInt32> = [0]
        var open = Set(uses.map(\.oid)).subtracting(asked)
        while !open.isEmpty {
            asked.formUnion(open)
            let found = try Self.rows(of: open, on: connection)
            for type in found { entries[type.oid] = type }
            for entry in known where open.contains(entry.oid) && entries[entry.oid] == nil {
                entries[entry.oid] = CatalogType(entry)
            }
            try readLabels(of: found, on: connection)
            try readChecks(of: found, on: connection)
            try readAttributes(of: found, on: connection)
            for oid in open {
                guard let type = entries[oid] else { continue }
                let parts = [TypeUse(type.element), type.base] + type.attributes.map(\.type)
                uses.formUnion(parts.filter { $0.oid != 0 })
            }
            open = Set(uses.map(\.oid)).subtracting(asked)
        }
        // A column's modifier is its element's: varchar(3)[] is printed from varchar's.
        for use in uses {
            guard let element = entries[use.oid]?.element, element != 0 else { continue }
            uses.insert(TypeUse(element, use.modifier))
        }
        uses.formUnion(uses.map { TypeUse($0.oid) })
        try readTexts(of: uses, on: connection)
    }

    // MARK: Reading

    private static func rows(
        of oids: Set<UInt32>,
        on connection: borrowing Connection
    ) throws(PostgresError) -> [CatalogType] {
        var found: [CatalogType] = []
        for list in Listing.oids(oids) {
            // 751 is array_out: it tells a true array from a fixed-length type with elements.
            let rows = try connection.query(
                """
                SELECT t.oid, n.nspname, t.typname, t.typtype, \
                CASE WHEN t.typoutput = 751 AND t.typtype <> 'd' THEN t.typelem ELSE 0 END, \
                t.typdelim, t.typbasetype, t.typtypmod, t.typnotnull, \
                t.typdefault IS NOT NULL, \
                x.extname, r.relkind IS NULL OR r.relkind = 'c', cn.nspname, co.collname \
                FROM pg_catalog.pg_type t \
                JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
                LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype \
                LEFT JOIN pg_catalog.pg_class r ON r.oid = t.typrelid \
                LEFT JOIN pg_catalog.pg_collation co \
                ON co.oid = t.typcollation AND t.typtype = 'd' AND t.typcollation <> b.typcollation \
                LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
                LEFT JOIN pg_catalog.pg_depend d \
                ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid \
                AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
                AND d.deptype = 'e' \
                LEFT JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid \
                WHERE t.oid IN (\(list))
                """
            )
            for row in 0..<rows.count {
                found.append(
                    CatalogType(
                        oid: rows.oid(row, 0),
                        schema: rows.text(row, 1),
                        name: rows.text(row, 2),
                        kind: rows.text(row, 3).utf8.first.flatMap(TypeEntry.Kind.init) ?? .base,
                        element: rows.oid(row, 4),
                        delimiter: rows.text(row, 5),
                        base: TypeUse(
                            rows.oid(row, 6),
                            Int32(clamping: rows.integer(row, 7) ?? -1)
                        ),
                        isRequired: rows.flag(row, 8),
                        hasDefault: rows.flag(row, 9),
                        collation: rows.value(row, 12).map {
                            TableName(schema: $0, name: rows.text(row, 13))
                        },
                        extension: rows.value(row, 10),
                        isFreeStanding: rows.flag(row, 11)
                    )
                )
            }
        }
        return found
    }

    private mutating func readLabels(
        of types: [CatalogType],
        on connection: borrowing Connection
    ) throws(PostgresError) {
        for list in Listing.oids(types.filter { $0.kind == .enumeration }.map(\.oid)) {
            let rows = try connection.query(
                "SELECT enumtypid, enumlabel FROM pg_catalog.pg_enum "
                    + "WHERE enumtypid IN (\(list)) ORDER BY enumtypid, enumsortorder"
            )
            for row in 0..<rows.count {
                entries[rows.oid(row, 0)]?.labels.append(rows.text(row, 1))
            }
        }
    }

    private mutating func readChecks(
        of types: [CatalogType],
        on connection: borrowing Connection
    ) throws(PostgresError) {
        for list in Listing.oids(types.filter { $0.kind == .domain }.map(\.oid)) {
            let rows = try connection.query(
                """
                SELECT contypid, conname, pg_catalog.pg_get_constraintdef(oid) \
                FROM pg_catalog.pg_constraint WHERE contypid IN (\(list)) AND contype = 'c' \
                ORDER BY contypid, conname
                """
            )
            for row in 0..<rows.count {
                entries[rows.oid(row, 0)]?.checks.append((rows.text(row, 1), rows.text(row, 2)))
            }
        }
    }

    private mutating func readAttributes(
        of types: [CatalogType],
        on connection: borrowing Connection
    ) throws(PostgresError) {
        for list in Listing.oids(types.filter { $0.kind == .composite }.map(\.oid)) {
            let rows = try connection.query(
                """
                SELECT c.reltype, a.attname, a.atttypid, a.atttypmod, cn.nspname, co.collname \
                FROM pg_catalog.pg_class c \
                JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
                JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
                LEFT JOIN pg_catalog.pg_collation co \
                ON co.oid = a.attcollation AND a.attcollation <> t.typcollation \
                LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
                WHERE c.reltype IN (\(list)) AND a.attnum > 0 AND NOT a.attisdropped \
                ORDER BY c.oid, a.attnum
                """
            )
            for row in 0..<rows.count {
                let modifier = Int32(clamping: rows.integer(row, 3) ?? -1)
                entries[rows.oid(row, 0)]?.attributes.append(
                    CatalogType.Attribute(
                        name: rows.text(row, 1),
                        type: TypeUse(rows.oid(row, 2), modifier),
                        collation: rows.value(row, 4).map {
                            TableName(schema: $0, name: rows.text(row, 5))
                        }
                    )
                )
            }
        }
    }

    private mutating func readTexts(
        of uses: Set<TypeUse>,
        on connection: borrowing Connection
    ) throws(PostgresError) {
        let pairs = uses.filter { entries[$0.oid] != nil }
            .sorted { ($0.oid, $0.modifier) < ($1.oid, $1.modifier) }
        for start in stride(from: 0, to: pairs.count, by: 1_000) {
            let part = pairs[start..<min(start + 1_000, pairs.count)]
            let list = part.map { "(\($0.oid)::pg_catalog.oid, \($0.modifier))" }
            let rows = try connection.query(
                """
                SELECT u.oid, u.modifier, pg_catalog.format_type(u.oid, u.modifier) \
                FROM (VALUES \(list.joined(separator: ", "))) u (oid, modifier) \
                JOIN pg_catalog.pg_type t ON t.oid = u.oid
                """
            )
            for row in 0..<rows.count {
                let modifier = Int32(clamping: rows.integer(row, 1) ?? -1)
                texts[TypeUse(rows.oid(row, 0), modifier)] = rows.text(row, 2)
            }
        }
    }
}

extension CatalogType {
    /// What a checkpoint remembers of a type that the catalog has no more.
    init(_ entry: TypeEntry) {
        self.init(
            oid: entry.oid,
            schema: entry.schema,
            name: entry.name,
            kind: entry.kind,
            element: entry.element,
            delimiter: String(UnicodeScalar(entry.delimiter)),
            base: TypeUse(entry.base, entry.baseModifier)
        )
    }
}
