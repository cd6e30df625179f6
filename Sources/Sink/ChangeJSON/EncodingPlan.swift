// SPDX-License-Identifier: Apache-2.0
//
// A relation version as bytes and numbers: what would otherwise be looked up and escaped per row.

import ChangeModel

// SAFETY: the memory is written by `init` and only read after it.

/// What is the same in every event of one relation version, made ready to be copied.
final class EncodingPlan: @unchecked Sendable {
    /// One column.
    struct Column {
        var code: ValueCode
        /// Whether it belongs to the replica identity: an old row that is a key holds it.
        var isIdentity: Bool
        /// `,"name":` among the plan's bytes.
        var name: Range<Int32>
        /// What stands for a value that was not sent; empty where nothing can.
        var unavailable: Range<Int32>
    }

    /// Pointers into a plan; whoever uses one keeps the plan.
    struct View {
        let columns: UnsafePointer<Column>
        let columnCount: Int
        let nodes: UnsafePointer<ValueCode>
        let bytes: UnsafePointer<UInt8>
        /// `,"schema":"…","table":"…","txId":` among the bytes.
        let relation: Range<Int32>
        /// `{"schema":…,"payload":` of keys and of values; empty where there are no schemas.
        let keyOpening: Range<Int32>
        let valueOpening: Range<Int32>
        /// The indices of the columns that records have as their key.
        let key: UnsafePointer<Int32>
        let keyCount: Int

        /// A run of the bytes.
        @inline(__always)
        func run(_ range: Range<Int32>) -> Bytes {
            Bytes(start: bytes + Int(range.lowerBound), count: range.count)
        }
    }

    let version: RelationVersion
    private let columns: UnsafeMutablePointer<Column>
    private let nodes: UnsafeMutablePointer<ValueCode>
    private var bytes = OutputBuffer()
    private let relation: Range<Int32>
    private let keyOpening: Range<Int32>
    private let valueOpening: Range<Int32>
    private let key: UnsafeMutablePointer<Int32>
    private let keyCount: Int

    init(_ version: RelationVersion, schemas: RecordSchemas? = nil) {
        self.version = version
        var nodeList: [ValueCode] = []
        columns = .allocate(capacity: max(version.types.count, 1))
        for (index, column) in version.relation.columns.enumerated() {
            let code = ValueCode(
                version.types[index],
                oid: column.typeOID,
                schemaFormat: schemas?.format,
                nodes: &nodeList
            )
            let name = bytes.run { bytes in
                bytes.append(",")
                bytes.appendText(column.name)
                bytes.append(":")
            }
            let unavailable = bytes.run { bytes in
                let schema = schemas?.column(index, of: version) ?? .primitive(.string)
                bytes.append(schema.unavailable ?? "")
            }
            (columns + index).initialize(
                to: Column(
                    code: code,
                    isIdentity: column.isKey,
                    name: name,
                    unavailable: unavailable
                )
            )
        }
        let eventKey = version.relation.eventKey
        key = .allocate(capacity: max(eventKey.count, 1))
        key.initialize(from: eventKey.map { Int32($0) }, count: eventKey.count)
        keyCount = eventKey.count
        relation = bytes.run { bytes in
            bytes.append(",\"schema\":")
            bytes.appendText(version.relation.schema)
            bytes.append(",\"table\":")
            bytes.appendText(version.relation.name)
            bytes.append(",\"txId\":")
        }
        keyOpening = bytes.run { bytes in
            if let schemas { bytes.appendOpening(schemas.key(of: version)) }
        }
        valueOpening = bytes.run { bytes in
            if let schemas { bytes.appendOpening(schemas.value(of: version)) }
        }
        bytes.padWithZeros()
        nodes = .allocate(capacity: max(nodeList.count, 1))
        nodes.initialize(from: nodeList, count: nodeList.count)
    }

    deinit {
        columns.deallocate()
        key.deallocate()
        nodes.deallocate()
    }

    var view: View {
        View(
            columns: columns,
            columnCount: version.types.count,
            nodes: nodes,
            bytes: UnsafePointer(bytes.end - bytes.count),
            relation: relation,
            keyOpening: keyOpening,
            valueOpening: valueOpening,
            key: key,
            keyCount: keyCount
        )
    }
}

extension OutputBuffer {
    /// Appends a Swift string as a JSON string.
    mutating func appendText(_ text: String) {
        var text = text
        text.withUTF8 { appendText($0) }
    }

    /// Appends a Swift string as it is.
    mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { append($0) }
    }

    /// Makes what stands behind the content readable for whole-word copies.
    mutating func padWithZeros() {
        end.update(repeating: 0, count: Self.slack)
    }

    /// Where what `body` appends stands.
    fileprivate mutating func run(_ body: (inout OutputBuffer) -> Void) -> Range<Int32> {
        let start = Int32(count)
        body(&self)
        return start..<Int32(count)
    }
}
