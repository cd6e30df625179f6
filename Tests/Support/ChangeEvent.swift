// SPDX-License-Identifier: Apache-2.0
//
// One event as a consumer sees it: the Debezium envelope, read without the product's code.
import Foundation

/// A change event of an ndjson file or of the stream sink.
public struct ChangeEvent: Sendable {
    /// The columns of a row by name; one that was not sent is absent.
    public typealias Row = [String: JSONValue]

    /// `r`, `c`, `u`, `d`, `t` or `m`.
    public var op = ""
    /// The row, or its key, before the change.
    public var before: Row?
    /// The row after the change.
    public var after: Row?
    /// `source` as it stands, its scalars by name.
    public var source: Row = [:]
    /// When the daemon made the event, in ms since 1970.
    public var milliseconds = 0
    /// `transaction.id`; nil where `transaction` is null or absent.
    public var transactionID: String?
    /// `transaction.total_order`, from 1.
    public var totalOrder: Int?
    /// `transaction.data_collection_order`, from 1.
    public var collectionOrder: Int?

    /// `schema.table`.
    public var table: String {
        "\(source["schema"]?.text ?? "").\(source["table"]?.text ?? "")"
    }

    /// `source.sequence` as it stands: the key by which repeats can be dropped.
    public var sequence: String? { source["sequence"]?.text }

    /// The commit LSN out of `sequence`.
    public var commitLSN: UInt64? { part(0) }

    /// The ordinal out of `sequence`.
    public var ordinal: UInt64? { part(1) }

    /// Parses one line; throws what is wrong and where.
    public init(line: UnsafeRawBufferPointer) throws {
        var cursor = try JSONLine(line)
        try cursor.object { line, name in
            switch name {
            case "op": op = try line.value().text ?? ""
            case "before": before = try line.row()
            case "after": after = try line.row()
            case "source": source = try line.row() ?? [:]
            case "ts_ms": milliseconds = Int(try line.value().text ?? "") ?? 0
            case "transaction": try readTransaction(&line)
            default: _ = try line.value()
            }
        }
        try cursor.end()
        guard ["r", "c", "u", "d", "t", "m"].contains(op) else {
            throw SupportError("op is \"\(op)\"")
        }
    }

    /// Parses one line of text.
    public init(_ text: String) throws {
        self = try Array(text.utf8).withUnsafeBytes { try ChangeEvent(line: $0) }
    }

    private mutating func readTransaction(_ line: inout JSONLine) throws {
        guard let row = try line.row() else { return }
        transactionID = row["id"]?.text
        totalOrder = row["total_order"]?.text.flatMap { Int($0) }
        collectionOrder = row["data_collection_order"]?.text.flatMap { Int($0) }
    }

    private func part(_ index: Int) -> UInt64? {
        let parts = (sequence ?? "").split(separator: ",")
        guard parts.count == 2 else { return nil }
        return UInt64(parts[index].filter(\.isNumber))
    }
}
