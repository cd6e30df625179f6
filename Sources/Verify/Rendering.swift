// SPDX-License-Identifier: Apache-2.0
//
// How a row becomes a number on both servers alike. ROW(…)::text is the row's image: it tells
// NULL from an empty string, and its values are what the types' output functions print under
// the pinned settings. Where the two versions print a type differently, its binary form stands
// in the image instead.

import ChangeModel
import LibPQ

/// How an image is made into a number of 64 bits.
enum HashFunction: Sendable {
    /// hashtextextended (11 and later): twice as fast.
    case extended
    /// The first half of md5.
    case md5
    /// The same over UTF-8, for servers of different encodings.
    case md5OfUTF8

    /// The hash of a text as bigint.
    func sql(_ text: String) -> String {
        switch self {
        case .extended:
            "pg_catalog.hashtextextended((\(text)) COLLATE pg_catalog.\"C\", 0)"
        case .md5:
            "('x' || pg_catalog.substr(pg_catalog.md5(\(text)), 1, 16))::bit(64)::bigint"
        case .md5OfUTF8:
            "('x' || pg_catalog.substr(pg_catalog.md5(pg_catalog.convert_to(\(text), 'UTF8')), "
                + "1, 16))::bit(64)::bigint"
        }
    }
}

/// What the two servers have in common, and what not.
struct Rendering: Sendable {
    var hash: HashFunction
    /// One server prints floats with the digits that are needed (12 and later), the other not.
    var floatsDiffer: Bool
    /// One server prints "char" beyond ASCII in octal (16 and later), the other not.
    var charsDiffer: Bool
    /// Whether texts sort by their UTF-8 bytes under collation C on both servers.
    var isUTF8: Bool

    /// What `extra_float_digits` is set to where values are compared.
    ///
    /// Where floats stand within other types (composites, ranges) only the fifteen digits that
    /// all versions print alike can be compared.
    var digits: Int { floatsDiffer ? 0 : 3 }

    /// Asks both servers; blocks.
    init(source: Session, target: Session) throws(WalrelayError) {
        let versions = [source, target].map { $0.connection.serverVersion }
        let encodings = [source, target].map {
            $0.connection.parameterStatus("server_encoding") ?? ""
        }
        floatsDiffer = (versions[0] >= 120_000) != (versions[1] >= 120_000)
        charsDiffer = (versions[0] >= 160_000) != (versions[1] >= 160_000)
        isUTF8 = encodings.allSatisfy { $0 == "UTF8" }
        hash = encodings[0] == encodings[1] ? .md5 : .md5OfUTF8
        guard encodings[0] == encodings[1], versions.allSatisfy({ $0 >= 110_000 }) else { return }
        // Machines of another byte order, and whatever speaks the protocol, may hash otherwise.
        let texts = ["", "a", "(1,\"\",é)", String(repeating: "walrelay ", count: 40)]
        let list = texts.map { HashFunction.extended.sql(SQL.literal($0) + "::text") }
        let statement = "SELECT \(list.joined(separator: ", "))"
        guard let first = try? source.query(statement, while: "probing"),
            let second = try? target.query(statement, while: "probing")
        else { return }
        let agree = texts.indices.allSatisfy { index in
            first.value(0, index) != nil && first.value(0, index) == second.value(0, index)
        }
        if agree { hash = .extended }
    }

    /// Fixed facts, for tests.
    init(hash: HashFunction, floatsDiffer: Bool, charsDiffer: Bool = false, isUTF8: Bool = true) {
        self.hash = hash
        self.floatsDiffer = floatsDiffer
        self.charsDiffer = charsDiffer
        self.isUTF8 = isUTF8
    }

    /// What stands for a column in the image of its row.
    ///
    /// `typeOIDs` are the column's on both sides.
    func image(of column: String, typeOIDs: (UInt32, UInt32)) -> String {
        guard typeOIDs.0 == typeOIDs.1 else { return column }
        let oid = typeOIDs.0
        if floatsDiffer, let function = Self.sendFunctions[oid] {
            return "pg_catalog.\(function)(\(column))"
        }
        if charsDiffer, oid == 18 { return "\(column)::pg_catalog.int4" }
        return column
    }

    /// The built-in types that hold floats.
    static let sendFunctions: [UInt32: String] = [
        700: "float4send", 701: "float8send", 600: "point_send", 601: "lseg_send",
        602: "path_send", 603: "box_send", 604: "poly_send", 628: "line_send", 718: "circle_send",
        1021: "array_send", 1022: "array_send", 1017: "array_send", 1018: "array_send",
        1019: "array_send", 1020: "array_send", 1027: "array_send", 629: "array_send",
        719: "array_send",
    ]

    /// The types of whole numbers that order alike on all sides.
    static let wholeNumbers: Set<UInt32> = [20, 21, 23]

    /// A key column's text, which the column's own type takes back.
    func keyText(of column: String, typeOID: UInt32) -> String {
        // varchar, text and uuid: the cast prints what the output function prints. That of
        // character would cut blanks off, and that of boolean spells the value out.
        [25, 1043, 2950].contains(typeOID)
            ? "\(column)::text" : "pg_catalog.format('%s', \(column))"
    }

    /// An expression that sorts texts by their UTF-8 bytes.
    func order(of text: String) -> String {
        isUTF8 ? "(\(text)) COLLATE pg_catalog.\"C\"" : "pg_catalog.convert_to(\(text), 'UTF8')"
    }
}
