// SPDX-License-Identifier: Apache-2.0
//
// Records of a database whose texts may be any bytes (SQL_ASCII).

/// Bytes of a record that are no UTF-8.
struct TextFault {
    /// The value that holds them, from 0.
    private let column: Int

    /// Nil for a record that is UTF-8 as a whole.
    init?(in record: Record) {
        guard !Self.isText(record) else { return nil }
        var (index, found) = (0, 0)
        CopyText.forEachField(of: record) { field in
            if let field, !Self.isText(field) { found = index }
            index += 1
        }
        column = found
    }

    /// The record as a dirty one; bytes that are no text are shown as U+FFFD.
    func dirtyRecord(_ record: Record, _ columns: [RecordColumn]) -> DirtyRecord {
        let name = columns.indices.contains(column) ? columns[column].name : "\(column + 1)"
        return DirtyRecord(
            side: .reader,
            sqlState: "22021",
            reason: "column \(name) holds bytes that are no UTF-8 (the database is SQL_ASCII)",
            values: CopyText.values(of: record)
        )
    }

    private static func isText(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let bytes = bytes.assumingMemoryBound(to: UInt8.self)
        return (try? UTF8Span(validating: bytes.span)) != nil
    }
}
