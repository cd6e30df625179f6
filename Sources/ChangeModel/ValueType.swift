// SPDX-License-Identifier: Apache-2.0
//
// What a text value means, resolved once per relation from the server's catalog, so that nothing
// has to look at OIDs per row. Domains are resolved to what they are made of.

/// The meaning of a value in PostgreSQL's text format.
public indirect enum ValueType: Sendable, Hashable {
    /// `t` or `f`.
    case boolean
    /// int2, int4, int8, oid, xid, cid: decimal digits, perhaps a sign.
    case integer
    /// float4, float8: JSON's number syntax, or NaN, Infinity, -Infinity.
    case float
    /// numeric; `scale` where a type modifier declares one (may be negative from 15 on).
    case numeric(scale: Int?)
    /// money, as lc_monetary = C prints it: `-$1,234.56`.
    case money
    /// date.
    case date
    /// time without time zone; fractional digits that the type keeps, 0 to 6.
    case time(precision: Int)
    /// time with time zone.
    case timeWithZone(precision: Int)
    /// timestamp without time zone.
    case timestamp(precision: Int)
    /// timestamp with time zone; the session is pinned to UTC.
    case timestampWithZone(precision: Int)
    /// interval, printed with IntervalStyle = iso_8601.
    case interval
    /// bytea, printed with bytea_output = hex: `\x00ff`.
    case binary
    /// bit(1), which is a boolean for consumers; other bit strings are text.
    case bit
    /// hstore: `"a"=>"1", "b"=>NULL`.
    case hstore
    /// An array; `delimiter` is `,` for all built-in types but box (`;`).
    case array(element: ValueType, delimiter: UInt8)
    /// Anything that is given as it is printed: text, uuid, json, inet, ranges, enums, composites …
    case text
}
