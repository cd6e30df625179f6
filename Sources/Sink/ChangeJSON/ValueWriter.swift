// SPDX-License-Identifier: Apache-2.0
//
// One value of PostgreSQL's text format → one JSON value. A type is flattened into small numbers
// once per relation version, so that nothing per value looks at an enum with boxes in it.

import ChangeModel

/// A `ValueType` without references: an array names its element by its place among the nodes.
struct ValueCode {
    /// The kinds of values.
    enum Operation: UInt8 {
        case text
        case integer
        case timestamp
        case boolean
        case float
        case numeric
        case money
        case date
        case time
        case timeWithZone
        case interval
        case binary
        case bit
        case hstore
        case array
        /// What `limitedOperation` says, held to the type that a schema declares.
        case limited
    }

    var operation: Operation
    /// Of a limited one: what it is besides.
    var limitedOperation = Operation.text
    /// What the declared type leaves out.
    var limit = ValueLimit.none
    /// Of a timestamp: whether it has a time zone.
    var isZoned = false
    /// Of times: fractional digits.
    var precision: UInt8 = 6
    /// Of an array.
    var delimiter: UInt8 = UInt8(ascii: ",")
    /// Of a numeric; `Int32.min` where none is declared.
    var scale = Int32.min
    /// Of an array: the index of its element's node.
    var element: Int32 = 0
    /// Of an array: how many array types stand in each other, itself included.
    var levels: Int32 = 0

    /// Flattens a type; what it is made of is appended to `nodes`.
    ///
    /// With a schema's format its values are held to what the schema declares; `oid` is then the
    /// type's own.
    init(
        _ type: ValueType,
        oid: UInt32 = 0,
        schemaFormat: ValueFormat? = nil,
        nodes: inout [ValueCode]
    ) {
        self.init(operation: Self.operation(type))
        switch type {
        case .timestampWithZone: isZoned = true
        case .timestamp(let digits), .time(let digits): precision = UInt8(clamping: digits)
        case .numeric(.some(let declared)): scale = Int32(clamping: declared)
        case .array(let element, let delimiter):
            let code = ValueCode(
                element,
                oid: ConnectSchema.element(ofArray: oid),
                schemaFormat: schemaFormat,
                nodes: &nodes
            )
            self.delimiter = delimiter
            self.element = Int32(nodes.count)
            levels = code.levels + 1
            nodes.append(code)
        default: break
        }
        guard let schemaFormat else { return }
        limit = ValueLimit(type, oid: oid, format: schemaFormat)
        guard limit != .none else { return }
        limitedOperation = operation
        operation = .limited
    }

    private init(operation: Operation) { self.operation = operation }

    private static func operation(_ type: ValueType) -> Operation {
        switch type {
        case .boolean: .boolean
        case .integer: .integer
        case .float: .float
        case .numeric: .numeric
        case .money: .money
        case .date: .date
        case .time: .time
        case .timeWithZone: .timeWithZone
        case .timestamp, .timestampWithZone: .timestamp
        case .interval: .interval
        case .binary: .binary
        case .bit: .bit
        case .hstore: .hstore
        case .array: .array
        case .text: .text
        }
    }
}

/// Writes values in one format; keeps the memory that the rarer types need.
struct ValueWriter: ~Copyable {
    let format: ValueFormat
    /// The nodes of the plan whose values are being written; set before a row, valid during it.
    var nodes: UnsafePointer<ValueCode>
    var decimal = DecimalWorkspace()
    var composite = CompositeWorkspace()
    /// Whether the last value that could not be appended is of its type, but not of its schema's.
    var isBeyondType = false

    init(format: ValueFormat, nodes: UnsafePointer<ValueCode>) {
        self.format = format
        self.nodes = nodes
    }

    /// Why the last value could not be appended.
    @inline(never)
    mutating func takeFault() -> Fault.Kind {
        defer { isBeyondType = false }
        return isBeyondType ? .beyondType : .malformed
    }

    /// Appends a column's value; false where the text is not of its type.
    @inline(__always)
    mutating func appendColumn(
        _ text: Bytes,
        as code: ValueCode,
        to buffer: inout OutputBuffer
    )
        -> Bool
    {
        switch code.operation {
        case .text:
            buffer.appendText(text)
            return true
        case .integer:
            return buffer.appendInteger(text)
        case .timestamp:
            return buffer.appendTimestamp(
                text,
                zoned: code.isZoned,
                precision: code.precision,
                as: format.temporal
            )
        default:
            return appendRarer(text, as: code, to: &buffer)
        }
    }

    @inline(never)
    private mutating func appendRarer(
        _ text: Bytes,
        as code: ValueCode,
        to buffer: inout OutputBuffer
    ) -> Bool {
        guard code.levels > 0, text.contains(UInt8(ascii: "\\")) else {
            return append(text, as: code, to: &buffer)
        }
        composite.elements.removeAll()
        composite.elements.reserve(text.count * Int(code.levels))
        let isWritten = append(text, as: code, to: &buffer)
        composite.elements.removeAll(keepingUpTo: 1 << 16)
        return isWritten
    }

    /// Appends a value or an element; false where the text is not of its type.
    mutating func append(_ text: Bytes, as code: ValueCode, to buffer: inout OutputBuffer) -> Bool {
        switch code.operation {
        case .text:
            buffer.appendText(text)
            return true
        case .integer: return buffer.appendInteger(text)
        case .timestamp:
            return buffer.appendTimestamp(
                text,
                zoned: code.isZoned,
                precision: code.precision,
                as: format.temporal
            )
        case .boolean: return buffer.appendTruth(text, of: UInt8(ascii: "t"), or: UInt8(ascii: "f"))
        case .bit: return buffer.appendTruth(text, of: UInt8(ascii: "1"), or: UInt8(ascii: "0"))
        case .float: return buffer.appendFloat(text)
        case .numeric:
            let scale = code.scale == Int32.min ? nil : Int(code.scale)
            return buffer.appendDecimal(text, scale: scale, as: format.decimals, &decimal)
        case .money: return buffer.appendMoney(text, as: format.decimals, &decimal)
        case .date: return buffer.appendDate(text, as: format.temporal)
        case .time:
            return buffer.appendTime(text, precision: code.precision, as: format.temporal)
        case .timeWithZone: return buffer.appendTimeWithZone(text)
        case .interval: return buffer.appendInterval(text, as: format.temporal)
        case .binary: return buffer.appendBinary(text, as: format.binary)
        case .hstore: return appendHstore(text, to: &buffer)
        case .array: return appendArray(text, code, to: &buffer)
        case .limited: return appendLimited(text, as: code, to: &buffer)
        }
    }
}

extension OutputBuffer {
    /// Appends `true` or `false` for one of two characters; false where it is neither.
    fileprivate mutating func appendTruth(_ text: Bytes, of yes: UInt8, or no: UInt8) -> Bool {
        guard text.count == 1, text[0] == yes || text[0] == no else { return false }
        append(text[0] == yes ? "true" : "false")
        return true
    }
}
