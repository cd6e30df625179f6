// SPDX-License-Identifier: Apache-2.0
//
// How the types of the source's columns are spelled on the target, and which of them it lacks.
//
//   pg_catalog's own      the same name, where the target's version has it
//   of an extension       the type of that name that came with the same extension, in any schema
//   enum, domain, row     the same name in the schema that the naming gives; made where missing
//   anything else         text: the value arrives as the source prints it
//
// An array follows its element. A domain that cannot be made is replaced by what it is over.

import ChangeModel
import LibPQ

/// The source's types on the target.
struct TargetTypes: Sendable {
    private enum Choice: Sendable {
        /// Printed as at the source.
        case system
        /// There, under this name in SQL.
        case there(String)
        /// Not there yet, and to be made under this name.
        case missing(TableName)
        /// The type that a domain is over.
        case base
        /// As the source prints it.
        case text
    }

    private let source: CatalogTypes
    private let naming: TableNaming
    private let targetVersion: Int
    private var choices: [UInt32: Choice] = [:]
    /// What has to be made, each after what it is made of.
    private var order: [UInt32] = []
    /// What an operator should know: which type became text, and why.
    private(set) var notices: [String] = []
    /// Types of the target that do not take every value of the source's.
    private(set) var findings: [Finding] = []

    /// Looks at the target for the types of `columns` and changes nothing; blocks.
    init(
        of columns: some Sequence<TypeUse>,
        from source: CatalogTypes,
        naming: TableNaming,
        on target: borrowing Connection
    ) throws(PostgresError) {
        self.source = source
        self.naming = naming
        targetVersion = target.serverVersion
        let there = try TypesThere(
            named: Set(exactly: source.entries.values.map(\.name)),
            on: target
        )
        for oid in Set(columns.map(\.oid)).sorted() { choose(oid, among: there) }
    }

    /// The schemas of what has to be made.
    var missingSchemas: Set<ExactText> {
        Set(
            order.compactMap { oid in
                if case .missing(let name) = choices[oid] { name.$schema } else { nil }
            }
        )
    }

    /// A use of a type as the target is told it, ready for SQL.
    func sql(_ use: TypeUse) -> String {
        guard let type = source[use.oid] else { return "text" }
        guard type.element == 0 else {
            let element = sql(TypeUse(type.element, use.modifier))
            // Neither is an array of a domain over arrays an array of arrays, nor can text be
            // split at another delimiter than the comma.
            let isText = element == "text" && source[type.element]?.name != "text"
            return element.hasSuffix("[]") || isText && type.delimiter != ","
                ? "text" : "\(element)[]"
        }
        switch choices[use.oid] {
        case .system: return systemText(use)
        case .there(let name): return name + modifierText(use)
        case .missing(let name): return name.sql + modifierText(use)
        case .base: return sql(type.base)
        case .text, nil: return "text"
        }
    }

    // MARK: Choosing

    private mutating func choose(_ oid: UInt32, among there: TypesThere) {
        guard choices[oid] == nil, let type = source[oid] else { return }
        choices[oid] = .text
        let parts = [type.element, type.base.oid] + type.attributes.map(\.type.oid)
        for part in parts where part != 0 { choose(part, among: there) }
        guard type.element == 0 else { return }
        choices[oid] = choice(for: type, among: there)
        if case .missing = choices[oid] { order.append(oid) }
    }

    private mutating func choice(for type: CatalogType, among there: TypesThere) -> Choice {
        let name = TableName(schema: type.schema, name: type.name)
        if let `extension` = type.extension {
            if let found = there.name(of: type.name, in: `extension`) { return .there(found.sql) }
            note(
                name,
                "the extension \(`extension`), which it came with, is not installed on the target"
            )
            return .text
        }
        if type.isSystem {
            if there.kind(of: name) != nil, source.text(TypeUse(type.oid)) != nil { return .system }
            note(name, "the target has no such type")
            return .text
        }
        let wanted = TableName(schema: naming.schema(for: type.schema), name: type.name)
        if let kind = there.kind(of: wanted) {
            if kind == type.kind {
                compareLabels(of: type, as: wanted, with: there.labels(of: wanted))
                return .there(wanted.sql)
            }
            return instead(of: type, "\(wanted) is another kind of type on the target")
        }
        if source.text(TypeUse(type.oid)) == nil {
            return instead(of: type, "the source has it no more and the target never had it")
        }
        switch type.kind {
        case .enumeration, .domain: return .missing(wanted)
        case .composite where type.isFreeStanding: return .missing(wanted)
        case .composite: return instead(of: type, "it is the row type of a table")
        default: return instead(of: type, "only enums, domains and row types can be made")
        }
    }

    private mutating func instead(of type: CatalogType, _ reason: String) -> Choice {
        let name = TableName(schema: type.schema, name: type.name)
        note(name, reason, type.kind == .domain ? "what it is over" : "text")
        return type.kind == .domain ? .base : .text
    }

    private mutating func note(_ name: TableName, _ reason: String, _ instead: String = "text") {
        notices.append("type \(name) becomes \(instead) on the target: \(reason)")
    }

    private mutating func compareLabels(
        of type: CatalogType,
        as name: TableName,
        with labels: [String]
    ) {
        let known = Set(exactly: labels)
        let lacking = type.labels.filter { !known.contains($0) }
        guard !lacking.isEmpty else { return }
        let statements = lacking.map { "ALTER TYPE \(name.sql) ADD VALUE \(SQL.shownLiteral($0));" }
        findings.append(
            Finding(
                "target.enum_labels",
                .failed,
                subject: "type \(name)",
                found: "lacks \(Prose.list(lacking.map(SQL.shownLiteral)))",
                mend: statements.joined(separator: " ")
            )
        )
    }

    // MARK: Spelling

    private func systemText(_ use: TypeUse) -> String {
        let text = source.text(use) ?? "text"
        // ((precision << 16) | (scale & 0x7FF)) + 4; before 15 the scale is 0 to the precision.
        guard use.oid == 1700, use.modifier >= 4, targetVersion < 150_000 else { return text }
        let bits = Int(use.modifier - 4)
        let scale = (bits & 0x7FF ^ 1024) - 1024
        return (0...(bits >> 16)).contains(scale) ? text : "numeric"
    }

    /// `(Point,4326)` of `public.geometry(Point,4326)`; empty where there is no modifier.
    private func modifierText(_ use: TypeUse) -> String {
        guard let plain = source.text(TypeUse(use.oid)), let text = source.text(use),
            text.hasPrefix(plain)
        else { return "" }
        return String(text.dropFirst(plain.count))
    }
}

// MARK: Making

extension TargetTypes {
    /// Makes what is missing, in the caller's transaction; blocks.
    ///
    /// A type that the target refuses for what it says (a check that calls a function which is not
    /// there) is replaced, with a notice. Throws `PostgresError` for any other refusal.
    mutating func make(on target: borrowing Connection) throws(PostgresError) {
        for oid in order {
            guard case .missing(let name) = choices[oid], let type = source[oid] else { continue }
            if let error = try target.attempt(statement(for: type, as: name)) {
                // Nobody would want text for want of a GRANT.
                guard error.sqlState != "42501" else { throw error }
                choices[oid] = instead(of: type, "\(error)")
            } else {
                choices[oid] = .there(name.sql)
            }
        }
        order = []
    }

    /// The statements that make what the uses need and the target lacks, each ended by `; `.
    ///
    /// For somebody who makes a column by hand; empty where nothing is lacking.
    func preparation(for uses: some Sequence<TypeUse>) -> String {
        var needed: Set<UInt32> = []
        var open = uses.map(\.oid)
        while let oid = open.popLast() {
            guard needed.insert(oid).inserted, let type = source[oid] else { continue }
            open += [type.element, type.base.oid] + type.attributes.map(\.type.oid)
        }
        let statements = order.compactMap { oid -> String? in
            guard needed.contains(oid), case .missing(let name) = choices[oid],
                let type = source[oid]
            else { return nil }
            return "\(statement(for: type, as: name)); "
        }
        return statements.joined()
    }

    private func statement(for type: CatalogType, as name: TableName) -> String {
        switch type.kind {
        case .enumeration:
            let labels = type.labels.map(SQL.shownLiteral).joined(separator: ", ")
            return "CREATE TYPE \(name.sql) AS ENUM (\(labels))"
        case .domain:
            // No default: it would fill rows that the source has NULL in.
            let checks = type.checks.map {
                " CONSTRAINT \(SQL.shown($0.name)) \($0.definition)"
            }
            return "CREATE DOMAIN \(name.sql) AS \(sql(type.base))"
                + (type.collation.map { " COLLATE \($0.sql)" } ?? "")
                + (type.isRequired ? " NOT NULL" : "") + checks.joined()
        default:
            let attributes = type.attributes.map { attribute in
                "\(SQL.shown(attribute.name)) \(sql(attribute.type))"
                    + (attribute.collation.map { " COLLATE \($0.sql)" } ?? "")
            }
            return "CREATE TYPE \(name.sql) AS (\(attributes.joined(separator: ", ")))"
        }
    }
}

/// The types of the target that have one of some names.
private struct TypesThere {
    private var kinds: [TableName: TypeEntry.Kind] = [:]
    private var extensions: [ExactText: [ExactText: TableName]] = [:]
    private var enumLabels: [TableName: [String]] = [:]

    init(named names: Set<ExactText>, on target: borrowing Connection) throws(PostgresError) {
        guard !names.isEmpty else { return }
        let list = SQL.literals(names.sorted().map(\.wrappedValue))
        let rows = try target.query(
            """
            SELECT n.nspname, t.typname, t.typtype, x.extname \
            FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
            LEFT JOIN pg_catalog.pg_depend d \
            ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid \
            AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
            AND d.deptype = 'e' \
            LEFT JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid \
            WHERE t.typname IN (\(list)) AND t.typisdefined
            """
        )
        for row in 0..<rows.count {
            let name = TableName(schema: rows.text(row, 0), name: rows.text(row, 1))
            kinds[name] = rows.text(row, 2).utf8.first.flatMap(TypeEntry.Kind.init) ?? .base
            if let `extension` = rows.value(row, 3) {
                extensions[ExactText(`extension`), default: [:]][name.$name] = name
            }
        }
        let labels = try target.query(
            """
            SELECT n.nspname, t.typname, e.enumlabel FROM pg_catalog.pg_enum e \
            JOIN pg_catalog.pg_type t ON t.oid = e.enumtypid \
            JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
            WHERE t.typname IN (\(list)) ORDER BY e.enumtypid, e.enumsortorder
            """
        )
        for row in 0..<labels.count {
            let name = TableName(schema: labels.text(row, 0), name: labels.text(row, 1))
            enumLabels[name, default: []].append(labels.text(row, 2))
        }
    }

    func kind(of name: TableName) -> TypeEntry.Kind? { kinds[name] }
    func labels(of name: TableName) -> [String] { enumLabels[name] ?? [] }

    func name(of type: String, in extensionName: String) -> TableName? {
        extensions[ExactText(extensionName)]?[ExactText(type)]
    }
}
