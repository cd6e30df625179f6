// SPDX-License-Identifier: Apache-2.0
//
// From a column's (type OID, type modifier) to what its text means. The types of pg_catalog have
// fixed OIDs and are known here; those of the database (enums, domains, extensions …) are added as
// somebody looks them up in pg_type:
//
//   while !(missing = catalog.unknown(in: relation)).isEmpty { … catalog.add(each entry) … }
//
// The loop ends: an added entry may name further OIDs (a domain's base, an array's element), but
// each round adds what was missing, and an OID that the server has no more is added as `.base`.

/// A row of pg_type, as far as the meaning of values depends on it.
public struct TypeEntry: Sendable, Hashable, Codable {
    /// `pg_type.typtype`.
    public enum Kind: UInt8, Sendable, Codable {
        /// A base type; also what to say of an OID that pg_type does not know any more.
        case base = 0x62
        /// A row type.
        case composite = 0x63
        /// A domain.
        case domain = 0x64
        /// An enum.
        case enumeration = 0x65
        /// A pseudo-type; no column has one.
        case pseudo = 0x70
        /// A range.
        case range = 0x72
        /// A multirange (14 and later).
        case multirange = 0x6D
    }

    /// The type's OID.
    public var oid: UInt32
    /// The type's name, unquoted.
    public var name: String
    /// The name of the type's schema, unquoted.
    public var schema: String
    /// What kind of type it is.
    public var kind: Kind
    /// The element's OID for a true array (`typlen = -1` and `typcategory = 'A'`), otherwise 0.
    public var element: UInt32
    /// The underlying type's OID for a domain, otherwise 0.
    public var base: UInt32
    /// The modifier that a domain gives to its underlying type; -1 where there is none.
    public var baseModifier: Int32
    /// `typdelim`: what stands between the elements of an array of this type, and of its own.
    public var delimiter: UInt8

    /// Creates an entry; `,` is the delimiter of every type but box and what is made like it.
    public init(
        oid: UInt32,
        name: String,
        schema: String,
        kind: Kind,
        element: UInt32 = 0,
        base: UInt32 = 0,
        baseModifier: Int32 = -1,
        delimiter: UInt8 = UInt8(ascii: ",")
    ) {
        self.oid = oid
        self.name = name
        self.schema = schema
        self.kind = kind
        self.element = element
        self.base = base
        self.baseModifier = baseModifier
        self.delimiter = delimiter
    }
}

/// What the types of one database mean.
public struct TypeCatalog: Sendable, Equatable {
    /// How often a domain or an array may lead to another type before it is taken as text.
    ///
    /// Real ones need two or three steps; a catalog that leads in a circle ends here.
    public static let depthLimit = 16

    private var entries: [UInt32: TypeEntry] = [:]

    /// A catalog that knows the types of pg_catalog.
    public init() {}

    /// Adds a type of the database, or replaces what was known of its OID.
    public mutating func add(_ entry: TypeEntry) {
        entries[entry.oid] = entry
    }

    /// The OIDs that `relation` leads to and that nobody has added, ascending, without repeats.
    public func unknown(in relation: Relation) -> [UInt32] {
        var missing: Set<UInt32> = []
        for column in relation.columns {
            var oid = column.typeOID
            for _ in 0..<Self.depthLimit {
                guard BuiltInType(oid: oid) == nil, BuiltInType.element(ofArray: oid) == nil
                else { break }
                guard let entry = entries[oid] else {
                    missing.insert(oid)
                    break
                }
                guard let next = Self.next(after: entry) else { break }
                oid = next
            }
        }
        return missing.sorted()
    }

    /// The entries that the relations' columns lead to, in the order of their OIDs.
    public func entries(for relations: some Sequence<Relation>) -> [TypeEntry] {
        var found: [UInt32: TypeEntry] = [:]
        for column in relations.lazy.flatMap(\.columns) {
            var oid = column.typeOID
            while found[oid] == nil, let entry = entries[oid] {
                found[oid] = entry
                guard let next = Self.next(after: entry) else { break }
                oid = next
            }
        }
        return found.values.sorted { $0.oid < $1.oid }
    }

    /// The types of the relation's columns, in their order; what is unknown is text.
    public func types(of relation: Relation) -> [ValueType] {
        relation.columns.map { type(oid: $0.typeOID, modifier: $0.typeModifier) }
    }

    /// What a value of this type means; what is unknown is text.
    public func type(oid: UInt32, modifier: Int32) -> ValueType {
        type(oid: oid, modifier: modifier, depth: 0)
    }

    private func type(oid: UInt32, modifier: Int32, depth: Int) -> ValueType {
        guard depth < Self.depthLimit else { return .text }
        if let builtIn = BuiltInType(oid: oid) { return builtIn.valueType(modifier: modifier) }
        if let (element, delimiter) = BuiltInType.element(ofArray: oid) {
            return .array(
                element: type(oid: element, modifier: modifier, depth: depth + 1),
                delimiter: delimiter
            )
        }
        guard let entry = entries[oid] else { return .text }
        if entry.kind == .domain {
            return type(oid: entry.base, modifier: entry.baseModifier, depth: depth + 1)
        }
        if entry.element != 0 {
            return .array(
                element: type(oid: entry.element, modifier: modifier, depth: depth + 1),
                delimiter: entry.delimiter
            )
        }
        // The extension may have been put in any schema, so its name is all there is to go by.
        return entry.kind == .base && entry.name == "hstore" ? .hstore : .text
    }

    /// The type that must be known too before `entry` can be resolved.
    private static func next(after entry: TypeEntry) -> UInt32? {
        if entry.kind == .domain { return entry.base }
        return entry.element != 0 ? entry.element : nil
    }
}
