// SPDX-License-Identifier: Apache-2.0
//
// Which column takes every value of which other, asked of types that a real catalog describes.

import ChangeModel
import LibPQ
import Support
import Testing

@testable import PostgresSink

@Suite struct TypeFitTests {
    static let definitions = """
        CREATE TYPE mood AS ENUM ('a', 'b'); CREATE SCHEMA other;
        CREATE TYPE other.mood AS ENUM ('b', 'c', 'a'); CREATE TYPE other.few AS ENUM ('a');
        CREATE DOMAIN short AS varchar(5); CREATE DOMAIN shorts AS varchar(5)[];
        CREATE DOMAIN deeper AS short; CREATE TYPE pair AS (a int);
        """

    static let fitting = [
        ("int2", "int4"), ("int2", "int8"), ("int4", "int8"), ("int8", "numeric"),
        ("int4", "numeric(10)"), ("int2", "numeric(7,2)"), ("int4[]", "int8[]"),
        ("varchar(5)", "varchar(5)"), ("varchar(5)", "varchar(6)"), ("varchar", "varchar"),
        ("varchar(5)[]", "varchar(9)[]"), ("text", "varchar"), ("varchar(5)", "text"),
        ("jsonb", "text"), ("pair", "text"), ("mood", "text"), ("int4[]", "text"),
        ("int4[]", "text[]"), ("box[]", "text"), ("char(5)", "char(9)"), ("bit(3)", "bit(3)"),
        ("bit(3)", "\"bit\""), ("varbit(3)", "varbit"), ("numeric(5,2)", "numeric"),
        ("numeric(5,2)", "numeric(7,3)"), ("numeric(5,-2)", "numeric(7)"),
        ("timestamp(3)", "timestamp"), ("timestamp", "timestamp(6)"), ("time(2)", "time(3)"),
        ("interval day to second(1)", "interval"), ("mood", "other.mood"), ("mood", "mood"),
        ("mood[]", "other.mood[]"), ("short", "varchar(5)"), ("deeper", "short"),
        ("varchar(5)", "short"), ("varchar(4)", "deeper"), ("shorts", "varchar(5)[]"),
        ("varchar(5)[]", "shorts"), ("short", "text"), ("short[]", "varchar(5)[]"),
    ]

    static let unfit = [
        ("int8", "int4", "does not take every value of"), ("int8", "numeric(10)", "does not take"),
        ("int4[]", "int4", "does not take"), ("int4", "int4[]", "does not take"),
        ("varchar(6)", "varchar(5)", "is shorter than"), ("varchar", "varchar(5)", "is shorter"),
        ("text", "varchar(5)", "does not take"), ("varchar(6)[]", "varchar(5)[]", "is shorter"),
        ("bit(3)", "bit(4)", "does not take"), ("varbit", "varbit(4)", "is shorter"),
        ("numeric", "numeric(5,2)", "has fewer digits"), ("numeric(5,2)", "numeric(5,1)", "fewer"),
        ("numeric(5,1)", "numeric(5,2)", "fewer"), ("timestamp", "timestamp(3)", "fewer digits"),
        ("timestamptz", "timestamp", "does not take"), ("json", "jsonb", "does not take"),
        ("mood", "other.few", "does not take"), ("other.mood", "mood", "lacks the labels 'c'"),
        ("short", "varchar(4)", "shorter"), ("varchar(6)", "short", "shorter"),
        ("float4", "float8", "does not take"), ("box[]", "text[]", "does not take"),
        ("shorts", "varchar(4)[]", "shorter"), ("interval", "interval day", "does not take"),
    ]

    @Test func `a type takes what it can keep, and nothing else`() async throws {
        let cluster = try await PostgresCluster.start()
        try cluster.psql(Self.definitions)
        let pairs = Self.fitting.map { ($0.0, $0.1) } + Self.unfit.map { ($0.0, $0.1) }
        let names = Set(pairs.flatMap { [$0.0, $0.1] }).sorted()
        let columns = names.enumerated().map { "c\($0.offset) \($0.element)" }
        try cluster.psql("CREATE TABLE t (\(columns.joined(separator: ", ")))")
        let faults = try await onThread { () -> [String?] in
            let connection = try Connection.open(cluster.tableParameters(user: "postgres"))
            let maker = try TableMaker(.publicTables, on: connection)
            let table = try #require(maker.source.tables.values.first)
            let uses = Dictionary(uniqueKeysWithValues: zip(names, table.columns.map(\.type)))
            let fit = TypeFit(source: maker.source.types, target: maker.source.types)
            return try pairs.map { pair in
                fit.fault(try #require(uses[pair.0]), try #require(uses[pair.1]))
            }
        }
        for (pair, fault) in zip(Self.fitting, faults) { #expect(fault == nil, "\(pair)") }
        for (item, fault) in zip(Self.unfit, faults.dropFirst(Self.fitting.count)) {
            #expect(fault?.contains(item.2) == true, "\(item): \(fault ?? "fits")")
        }
    }
}
