// SPDX-License-Identifier: Apache-2.0
//
// A relation version as bytes and numbers: what would otherwise be looked up and escaped per row.

import ChangeModel

// SAFETY: the memory is written by `init` and only read after it.

/// What is the same in every line of one relation version, made ready to be copied.
final class EncodingPlan: @unchecked Sendable {
    /// One column.
    struct Column {
        var code: ValueCode
        /// Whether it belongs to the replica identity: an old row that is a key holds it.
        var isIdentity: Bool
        /// Whether it belongs to the key of records.
        var isKey: Bool
        /// `,"name":` among the plan's bytes.
        var name: Range<Int32>
    }

    /// Pointers into a plan; whoever uses one keeps the plan.
    struct View {
        let columns: UnsafePointer<Column>
        let columnCount: Int
        let nodes: UnsafePointer<ValueCode>
        let bytes: UnsafePointer<UInt8>
        /// `,"schema":"…","table":"…","txId":` among the bytes.
        let relation: Range<Int32>
        let hasKey: Bool
    }

    let version: RelationVersion
    private let columns: UnsafeMutablePointer<Column>
    private let nodes: UnsafeMutablePointer<ValueCode>
    private var bytes: OutputBuffer
    private let relation: Range<Int32>

    init(_ version: RelationVersion) {
        self.version = version
        bytes = OutputBuffer()
        var nodeList: [ValueCode] = []
        columns = .allocate(capacity: max(version.types.count, 1))
        for (index, column) in version.relation.columns.enumerated() {
            let start = Int32(bytes.count)
            bytes.append(",")
            bytes.appendText(column.name)
            bytes.append(":")
            (columns + index).initialize(
                to: Column(
                    code: ValueCode(version.types[index], nodes: &nodeList),
                    isIdentity: column.isKey,
                    isKey: false,
                    name: start..<Int32(bytes.count)
                )
            )
        }
        for index in version.relation.eventKey { columns[index].isKey = true }
        let start = Int32(bytes.count)
        bytes.append(",\"schema\":")
        bytes.appendText(version.relation.schema)
        bytes.append(",\"table\":")
        bytes.appendText(version.relation.name)
        bytes.append(",\"txId\":")
        relation = start..<Int32(bytes.count)
        bytes.padWithZeros()
        nodes = .allocate(capacity: max(nodeList.count, 1))
        nodes.initialize(from: nodeList, count: nodeList.count)
    }

    deinit {
        columns.deallocate()
        nodes.deallocate()
    }

    var view: View {
        View(
            columns: columns,
            columnCount: version.types.count,
            nodes: nodes,
            bytes: UnsafePointer(bytes.end - bytes.count),
            relation: relation,
            hasKey: !version.relation.eventKey.isEmpty
        )
    }
}

extension OutputBuffer {
    /// Appends a Swift string as a JSON string.
    mutating func appendText(_ text: String) {
        var text = text
        text.withUTF8 { appendText($0) }
    }

    /// Makes what stands behind the content readable for whole-word copies.
    mutating func padWithZeros() {
        end.update(repeating: 0, count: Self.slack)
    }
}
