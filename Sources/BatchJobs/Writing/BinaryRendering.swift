// SPDX-License-Identifier: Apache-2.0
//
// The text of a record in COPY's binary format, for a dirty record: the server has the types'
// output functions, so it is asked.
//
//   int16 fields | then per field: int32 length (-1 is NULL), bytes

import LibPQ

/// Has the server write values as text.
struct BinaryRendering {
    private static let name = "walrelay_rendering"

    private let types: [UInt32]
    private var isPrepared = false

    init(_ shape: RecordShape) {
        types = shape.columns.map(\.typeOID)
    }

    /// The values of a record, `nil` for NULL; their bytes in hex where the server refuses.
    ///
    /// Blocks.
    mutating func values(of record: Record, on connection: borrowing Connection) -> [String?] {
        guard let fields = Self.fields(of: record) else { return [Self.hex(record)] }
        do throws(PostgresError) {
            guard fields.count == types.count else { throw WriterFault.malformed }
            return try ask(fields, on: connection)
        } catch {
            return fields.map { $0.map(Self.hex) }
        }
    }

    private mutating func ask(
        _ fields: [UnsafeRawBufferPointer?],
        on connection: borrowing Connection
    ) throws(PostgresError) -> [String?] {
        if !isPrepared {
            let list = types.indices.map { "$\($0 + 1)" }.joined(separator: ", ")
            try connection.prepare(Self.name, "SELECT \(list)", types: types)
            isPrepared = true
        }
        var parameters = StatementParameters()
        for field in fields {
            if let field {
                parameters.append(binary: field)
            } else {
                parameters.appendNull()
            }
        }
        let result = try connection.execute(Self.name, parameters)
        return fields.indices.map { result.value(0, $0) }
    }

    /// The fields of a tuple; nil where its lengths do not add up.
    static func fields(of record: Record) -> [UnsafeRawBufferPointer?]? {
        var rest = record[...]
        func number<Number: FixedWidthInteger>(_: Number.Type) -> Number? {
            let size = MemoryLayout<Number>.size
            guard rest.count >= size else { return nil }
            let bytes = UnsafeRawBufferPointer(rebasing: rest.prefix(size))
            rest = rest.dropFirst(size)
            return Number(bigEndian: bytes.loadUnaligned(as: Number.self))
        }
        guard let count = number(Int16.self), count >= 0 else { return nil }
        var fields: [UnsafeRawBufferPointer?] = []
        for _ in 0..<count {
            guard let length = number(Int32.self) else { return nil }
            guard length >= 0 else {
                fields.append(nil)
                continue
            }
            guard rest.count >= Int(length) else { return nil }
            fields.append(UnsafeRawBufferPointer(rebasing: rest.prefix(Int(length))))
            rest = rest.dropFirst(Int(length))
        }
        return rest.isEmpty ? fields : nil
    }

    private static func hex(_ bytes: UnsafeRawBufferPointer) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = Array("\\x".utf8)
        text.reserveCapacity(2 + bytes.count * 2)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
