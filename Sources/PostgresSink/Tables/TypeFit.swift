// SPDX-License-Identifier: Apache-2.0
//
// Whether a column of the target takes every value of a column of the source, given as the text
// that the source prints, and keeps it as it is. What would be rounded or cut silently (numeric,
// timestamp) fits as little as what would be refused.

import ChangeModel

/// The comparison of two columns' types.
struct TypeFit {
    let source: CatalogTypes
    let target: CatalogTypes

    /// What the target's type does not take of the source's; `nil` where it takes all.
    func fault(_ from: TypeUse, _ to: TypeUse) -> String? {
        // A type that the source has no more is no reason to refuse: its values say what fits.
        guard source[from.oid] != nil, let reason = reason(from, to, depth: 0) else { return nil }
        let wanted = source.text(from) ?? "type \(from.oid)"
        let there = target.text(to) ?? "type \(to.oid)"
        return "is \(there), which \(reason) \(wanted)"
    }

    private func reason(_ from: TypeUse, _ to: TypeUse, depth: Int) -> String? {
        guard depth < TypeCatalog.depthLimit, let wanted = source[from.oid],
            let there = target[to.oid]
        else { return Self.refuses }
        if there.isSystem, there.name == "text" || there.name == "varchar" && to.modifier < 0 {
            return nil
        }
        if wanted.element != 0, there.element != 0 {
            guard wanted.delimiter == there.delimiter else { return Self.refuses }
            return reason(
                TypeUse(wanted.element, from.modifier),
                TypeUse(there.element, to.modifier),
                depth: depth + 1
            )
        }
        guard wanted.element == 0, there.element == 0 else {
            // A domain may be over an array.
            if there.kind == .domain { return reason(from, there.base, depth: depth + 1) }
            if wanted.kind == .domain { return reason(wanted.base, to, depth: depth + 1) }
            return Self.refuses
        }
        if wanted.$name == there.$name, wanted.kind == there.kind,
            wanted.isSystem == there.isSystem, wanted.extension == there.extension
        {
            return sameType(from, to, wanted, there)
        }
        if there.kind == .domain { return reason(from, there.base, depth: depth + 1) }
        if wanted.kind == .domain { return reason(wanted.base, to, depth: depth + 1) }
        return isWidening(wanted, there, to) ? nil : Self.refuses
    }

    private static let refuses = "does not take every value of"
    private static let shortens = "is shorter than"
    private static let rounds = "has fewer digits than"

    private func sameType(
        _ from: TypeUse,
        _ to: TypeUse,
        _ wanted: CatalogType,
        _ there: CatalogType
    ) -> String? {
        if wanted.kind == .enumeration {
            let lacking = wanted.labels.filter { !there.labels.contains($0) }
            guard !lacking.isEmpty else { return nil }
            return "lacks the labels \(Prose.list(lacking.map { "'\($0)'" })) of"
        }
        guard to.modifier >= 0, to.modifier != from.modifier else { return nil }
        guard wanted.isSystem else { return Self.refuses }
        switch wanted.name {
        case "varchar", "bpchar", "varbit":
            return from.modifier >= 0 && to.modifier >= from.modifier ? nil : Self.shortens
        case "numeric":
            guard from.modifier >= 0 else { return Self.rounds }
            let (digits, scale) = Self.numeric(from.modifier)
            return Self.takes(digits: digits - scale, scale: scale, to.modifier)
                ? nil : Self.rounds
        case "time", "timetz", "timestamp", "timestamptz":
            return to.modifier >= (from.modifier < 0 ? 6 : from.modifier) ? nil : Self.rounds
        default: return Self.refuses
        }
    }

    /// Precision and scale; the scale is signed from 15 on, and up to 14 reads the same.
    private static func numeric(_ modifier: Int32) -> (digits: Int, scale: Int) {
        let bits = Int(modifier - 4)
        return (bits >> 16, (bits & 0x7FF ^ 1024) - 1024)
    }

    private static func takes(digits: Int, scale: Int, _ modifier: Int32) -> Bool {
        guard modifier >= 4 else { return true }
        let there = numeric(modifier)
        return there.scale >= scale && there.digits - there.scale >= digits
    }

    /// The digits that the largest number of each takes.
    private static let integers = ["int2": 5, "int4": 10, "int8": 19]

    private func isWidening(_ wanted: CatalogType, _ there: CatalogType, _ to: TypeUse) -> Bool {
        guard wanted.isSystem, there.isSystem, let digits = Self.integers[wanted.name] else {
            return false
        }
        if there.name == "numeric" { return Self.takes(digits: digits, scale: 0, to.modifier) }
        return Self.integers[there.name].map { $0 > digits } ?? false
    }
}
