// SPDX-License-Identifier: Apache-2.0
//
// The types of pg_catalog (10 to 18) by their fixed OIDs, and what their modifiers say. A type
// that is not here is looked up in the server's catalog like one of the database's own.

/// A type of pg_catalog that is no array.
struct BuiltInType {
    private let oid: UInt32

    /// `nil` where the OID is no built-in type, or a built-in array.
    init?(oid: UInt32) {
        guard Self.typed.contains(oid) || Self.printed.contains(oid) else { return nil }
        self.oid = oid
    }

    /// What a value means; `modifier` is -1 where the column has none.
    func valueType(modifier: Int32) -> ValueType {
        switch oid {
        case 16: .boolean
        case 20, 21, 23, 26, 28, 29, 5069: .integer
        case 700, 701: .float
        case 1700: .numeric(scale: Self.scale(modifier))
        case 790: .money
        case 1082: .date
        case 1083: .time(precision: Self.precision(modifier))
        case 1266: .timeWithZone(precision: Self.precision(modifier))
        case 1114: .timestamp(precision: Self.precision(modifier))
        case 1184: .timestampWithZone(precision: Self.precision(modifier))
        case 1186: .interval
        case 17: .binary
        // bit without a modifier (CREATE TABLE AS) holds strings of any length.
        case 1560: modifier == 1 ? .bit : .text
        default: .text
        }
    }

    /// The modifier is ((precision << 16) | (scale & 0x7FF)) + 4; the scale is signed from 15 on.
    ///
    /// Up to 14 the scale is 0 to 1000, which reads the same.
    private static func scale(_ modifier: Int32) -> Int? {
        guard modifier >= 4 else { return nil }
        let bits = Int(modifier - 4) & 0x7FF
        return (bits ^ 1024) - 1024
    }

    /// The fractional digits that are kept: 6 unless declared.
    private static func precision(_ modifier: Int32) -> Int {
        (0...6).contains(modifier) ? Int(modifier) : 6
    }

    /// The types whose values are more than their text.
    private static let typed: Set<UInt32> = [
        16, 17, 20, 21, 23, 26, 28, 29, 700, 701, 790, 1082, 1083, 1114, 1184, 1186, 1266, 1560,
        1700, 5069,
    ]

    /// The types that are given as they are printed.
    private static let printed: Set<UInt32> = [
        // "char", name, int2vector, regproc, text, tid, oidvector, json, xml, pg_node_tree
        18, 19, 22, 24, 25, 27, 30, 114, 142, 194,
        // smgr (10, 11); point, lseg, path, box, polygon, line, cidr; abstime, reltime, tinterval
        // (10, 11); unknown
        210, 600, 601, 602, 603, 604, 628, 650, 702, 703, 704, 705,
        // circle, macaddr8, macaddr, inet, aclitem, bpchar, varchar, varbit, refcursor
        718, 774, 829, 869, 1033, 1042, 1043, 1562, 1790,
        // regprocedure, regoper, regoperator, regclass, regtype, uuid, txid_snapshot, pg_lsn
        2202, 2203, 2204, 2205, 2206, 2950, 2970, 3220,
        // tsvector, tsquery, gtsvector, regconfig, regdictionary, jsonb, jsonpath
        3614, 3615, 3642, 3734, 3769, 3802, 4072,
        // int4range, numrange, tsrange, tstzrange, daterange, int8range and their multiranges
        3904, 3906, 3908, 3910, 3912, 3926, 4451, 4532, 4533, 4534, 4535, 4536,
        // regnamespace, regrole, regcollation, pg_snapshot, statistics
        4089, 4096, 4191, 5038, 3361, 3402, 4600, 4601, 5017,
    ]

    /// The element and the delimiter of a built-in array type.
    static func element(ofArray oid: UInt32) -> (element: UInt32, delimiter: UInt8)? {
        guard let element = elements[oid] else { return nil }
        return (element, UInt8(ascii: element == 603 ? ";" : ","))
    }

    /// Array OID → element OID.
    private static let elements: [UInt32: UInt32] = [
        1000: 16, 1001: 17, 1002: 18, 1003: 19, 1016: 20, 1005: 21, 1006: 22, 1007: 23, 1008: 24,
        1009: 25, 1028: 26, 1010: 27, 1011: 28, 1012: 29, 1013: 30, 199: 114, 143: 142, 1017: 600,
        1018: 601, 1019: 602, 1020: 603, 1027: 604, 629: 628, 651: 650, 1021: 700, 1022: 701,
        1023: 702, 1024: 703, 1025: 704, 719: 718, 775: 774, 791: 790, 1040: 829, 1041: 869,
        1034: 1033, 1014: 1042, 1015: 1043, 1182: 1082, 1183: 1083, 1115: 1114, 1185: 1184,
        1187: 1186, 1270: 1266, 1561: 1560, 1563: 1562, 1231: 1700, 2201: 1790, 2207: 2202,
        2208: 2203, 2209: 2204, 2210: 2205, 2211: 2206, 2951: 2950, 2949: 2970, 3221: 3220,
        3643: 3614, 3645: 3615, 3644: 3642, 3735: 3734, 3770: 3769, 3807: 3802, 4073: 4072,
        3905: 3904, 3907: 3906, 3909: 3908, 3911: 3910, 3913: 3912, 3927: 3926, 6150: 4451,
        6151: 4532, 6152: 4533, 6153: 4534, 6155: 4535, 6157: 4536, 4090: 4089, 4097: 4096,
        4192: 4191, 5039: 5038, 271: 5069,
    ]
}
