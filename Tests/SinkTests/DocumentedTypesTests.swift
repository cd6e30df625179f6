// SPDX-License-Identifier: Apache-2.0
//
// docs/types.md and the encoder say the same: each row of its tables is an example here.

import ChangeModel
import Foundation
import Sink
import Testing

@Suite struct DocumentedTypesTests {
    @Test func `every example of the page holds`() throws {
        let rows = try rows { $0 != Self.schemaSection }
        var count = 0
        for row in rows where row.count >= 3 && !row[0].hasPrefix("decimals") {
            guard let (oid, modifier) = Self.types[row[0]] else {
                // The page's table of settings has neither types nor texts.
                #expect(["temporal", "binary"].contains(row[0]), "unknown type \(row[0])")
                continue
            }
            let type = catalog.type(oid: oid, modifier: modifier)
            let formats = row.count == 4 ? [try format(row[2])] : Self.everyFormat
            for format in formats {
                let value = try json(type, .text(row[1]), format: format)
                #expect(value == row[row.count - 1], "\(row), \(format)")
            }
            count += 1
        }
        #expect(count >= 70)
    }

    @Test func `every declared type of the page holds`() throws {
        var count = 0
        for row in try rows(where: { $0 == Self.schemaSection }) where row.count == 4 {
            let (oid, modifier) = try #require(Self.types[row[0]], "unknown type \(row[0])")
            let type = catalog.type(oid: oid, modifier: modifier)
            let formats = row[1].isEmpty ? Self.everyFormat : [try format(row[1])]
            for format in formats {
                let schema = try declaredSchema(type, oid: oid, format: format)
                var declared = schema["type"] as? String ?? "none"
                if let items = schema["items"] as? [String: Any] {
                    declared += "` of `\(items["type"] ?? "none")"
                    #expect(items["optional"] as? Bool == true)
                }
                #expect(declared == row[2], "\(row), \(format)")
                #expect(schema["name"] as? String ?? "" == row[3], "\(row), \(format)")
                #expect(schema["optional"] as? Bool == true)
            }
            count += 1
        }
        #expect(count >= 40)
    }

    /// All values of the page are of the types that the page says are declared for them.
    @Test func `every example of the page agrees with its schema`() throws {
        var refused: [String] = []
        for row in try rows(where: { $0 != Self.schemaSection }) where row.count >= 3 {
            guard let (oid, modifier) = Self.types[row[0]] else { continue }
            let type = catalog.type(oid: oid, modifier: modifier)
            let formats = row.count == 4 ? [try format(row[2])] : Self.everyFormat
            for format in formats {
                do throws(WalrelayError) {
                    let value = try typedValue(type, .text(row[1]), oid: oid, format: format)
                    #expect(value.faults == [], "\(row), \(format)")
                } catch {
                    #expect(error.code == "value.beyond_schema")
                    refused.append("\(row[0]) \(row[1])")
                }
            }
        }
        #expect(
            Set(refused) == [
                "numeric NaN", "numeric Infinity", "integer[] {{1,NULL},{3,4}}",
            ]
        )
    }

    private static let schemaSection = "What `schemas: true` declares"

    /// The cells of the tables' rows that begin with a type, in the sections of these titles.
    private func rows(where isWanted: (String) -> Bool) throws -> [[String]] {
        let page = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../docs/types.md")
        return try String(contentsOf: page, encoding: .utf8).components(separatedBy: "\n## ")
            .filter { isWanted($0.components(separatedBy: "\n")[0]) }
            .flatMap { $0.split(separator: "\n") }
            .filter { $0.hasPrefix("| `") }.map(cells(of:))
    }

    /// The contents of a line's cells without their backticks.
    private func cells(of line: Substring) -> [String] {
        line.components(separatedBy: "|").dropFirst().dropLast().map { cell in
            let cell = cell.trimmingCharacters(in: [" "])
            return cell.hasPrefix("`") && cell.hasSuffix("`")
                ? String(cell.dropFirst().dropLast()) : cell
        }
    }

    private func format(_ setting: String) throws -> ValueFormat {
        let parts = setting.components(separatedBy: ": ")
        var format = ValueFormat()
        switch parts[0] {
        case "decimals": format.decimals = try #require(ValueFormat.Decimals(rawValue: parts[1]))
        case "temporal": format.temporal = try #require(ValueFormat.Temporal(rawValue: parts[1]))
        default: format.binary = try #require(ValueFormat.Binary(rawValue: parts[1]))
        }
        return format
    }

    private var catalog: TypeCatalog {
        var catalog = TypeCatalog()
        for (oid, name, kind) in [
            (20_000, "mood", .enumeration), (20_001, "pair", .composite), (20_002, "hstore", .base),
        ] as [(UInt32, String, TypeEntry.Kind)] {
            catalog.add(TypeEntry(oid: oid, name: name, schema: "public", kind: kind))
        }
        return catalog
    }

    private static let everyFormat = ValueFormat.Decimals.allCases.flatMap { decimals in
        ValueFormat.Temporal.allCases.flatMap { temporal in
            ValueFormat.Binary.allCases.map { binary in
                ValueFormat(decimals: decimals, temporal: temporal, binary: binary)
            }
        }
    }

    /// A type as the page names it → OID and modifier, as PostgreSQL has them in pg_attribute.
    private static let types: [String: (UInt32, Int32)] = [
        "boolean": (16, -1), "bit(1)": (1560, 1), "bit(3)": (1560, 3), "varbit": (1562, -1),
        "smallint": (21, -1), "integer": (23, -1), "bigint": (20, -1), "oid": (26, -1),
        "real": (700, -1), "double precision": (701, -1), "numeric": (1700, -1),
        "numeric(10,2)": (1700, 655_366), "numeric(8,-2)": (1700, 526_338), "money": (790, -1),
        "text": (25, -1), "varchar": (1043, -1), "char(5)": (1042, 9), "\"char\"": (18, -1),
        "name": (19, -1), "uuid": (2950, -1), "json": (114, -1), "jsonb": (3802, -1),
        "xml": (142, -1), "inet": (869, -1), "macaddr": (829, -1), "point": (600, -1),
        "box": (603, -1), "tsvector": (3614, -1), "int4range": (3904, -1),
        "int4multirange": (4451, -1), "pg_lsn": (3220, -1), "int2vector": (22, -1),
        "mood (enum)": (20_000, -1), "pair (composite)": (20_001, -1), "hstore": (20_002, -1),
        "timestamptz": (1184, -1), "timetz": (1266, -1), "date": (1082, -1), "time": (1083, -1),
        "time(3)": (1083, 3), "timestamp": (1114, -1), "timestamp(3)": (1114, 3),
        "interval": (1186, -1), "bytea": (17, -1), "integer[]": (1007, -1), "text[]": (1009, -1),
        "boolean[]": (1000, -1), "box[]": (1020, -1), "timestamp(0)[]": (1115, 0),
    ]
}
