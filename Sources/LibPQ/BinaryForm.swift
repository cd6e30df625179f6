// SPDX-License-Identifier: Apache-2.0
//
// Which values may go from server to server in COPY's binary format. Text is understood by every
// version and every type, so binary is for what is known to be the same on both sides: types with
// fixed OIDs whose send and receive functions agree from PostgreSQL 10 on. Text inside a binary
// row is converted as it is in a text row: client_encoding is UTF8 on both connections.

/// What is known of binary forms.
public enum BinaryForm {
    /// Whether values of a source column's type mean the same to a column of the target.
    ///
    /// `version` is the target's, as libpq gives it.
    public static func isShared(source: UInt32, target: UInt32, version: Int) -> Bool {
        guard source == target else {
            return characters.contains(source) && characters.contains(target)
        }
        // 17 has infinite intervals, which an older server would read as very long ones.
        if source == interval || source == intervals { return version >= 170_000 }
        return stable.contains(source)
    }

    private static let interval: UInt32 = 1186
    private static let intervals: UInt32 = 1187

    /// text, bpchar, varchar: their bytes are their text, and the receiver checks the length.
    private static let characters: Set<UInt32> = [25, 1042, 1043]

    private static let stable: Set<UInt32> = [
        // bool, bytea, int8, int2, int4, text, oid, json, float4, float8
        16, 17, 20, 21, 23, 25, 26, 114, 700, 701,
        // macaddr8, macaddr, inet, cidr, bpchar, varchar, date, time, timestamp, timestamptz,
        // timetz, bit, varbit, numeric, uuid, jsonb
        774, 829, 869, 650, 1042, 1043, 1082, 1083, 1114, 1184, 1266, 1560, 1562, 1700, 2950, 3802,
        // Their arrays, in the same order.
        1000, 1001, 1016, 1005, 1007, 1009, 1028, 199, 1021, 1022,
        775, 1040, 1041, 651, 1014, 1015, 1182, 1183, 1115, 1185, 1270, 1561, 1563, 1231, 2951,
        3807,
    ]
}
