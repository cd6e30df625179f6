// SPDX-License-Identifier: Apache-2.0
//
// Records as the tests look at them: texts in place of ranges.

import ChangeModel
import Foundation
import Sink

/// A record's texts.
struct TextRecord: Equatable {
    var change: Int
    var key: String?
    var value: String?
    /// `newkey …` or `oldkey …`.
    var header: String?
    var isKeyless: Bool

    /// The value's `before`, `after` and `op`, without what surrounds them.
    var row: String? {
        guard let value, let source = value.range(of: #","source":{"version""#),
            let operation = value.range(of: #","op":""#, options: .backwards)
        else { return nil }
        let start = value.range(of: #"{"before":"#)?.lowerBound ?? value.startIndex
        return value[operation.upperBound...].prefix(1) + " " + value[start..<source.lowerBound]
            + "}"
    }
}

extension RecordForm {
    static let plain = RecordForm(topicPrefix: "shop")
    static let typed = RecordForm(topicPrefix: "shop", schemas: true)
}

/// A record encoder as the tests use it.
func recordEncoder(
    _ form: RecordForm = .plain,
    _ format: ValueFormat = ValueFormat()
) -> ChangeRecordEncoder {
    ChangeRecordEncoder(
        task: "orders",
        database: "shop",
        version: "0.1.0",
        format: format,
        form: form
    )
}

/// The records of a batch.
func records(
    of batch: ChangeBatch,
    form: RecordForm = .plain,
    format: ValueFormat = ValueFormat(),
    validatesUTF8: Bool = false
) throws(WalrelayError) -> [TextRecord] {
    var encoder = recordEncoder(form, format)
    encoder.validatesUTF8 = validatesUTF8
    var buffer = OutputBuffer(capacity: 0)
    var records: [EventRecord] = []
    try encoder.encode(
        batch,
        changes: 0..<batch.changes.count,
        at: testNow,
        into: &buffer,
        records: &records
    )
    return records.map { TextRecord($0, buffer) }
}

extension TextRecord {
    init(_ record: EventRecord, _ buffer: borrowing OutputBuffer) {
        let header: String? =
            switch record.header {
            case .none: nil
            case .newKey(let range): "newkey " + buffer.text(range)
            case .oldKey(let range): "oldkey " + buffer.text(range)
            }
        self.init(
            change: record.change,
            key: record.key.map { buffer.text($0) },
            value: record.value.map { buffer.text($0) },
            header: header,
            isKeyless: record.isKeyless
        )
    }
}

extension OutputBuffer {
    /// A part of the content as text.
    func text(_ range: Range<Int>) -> String {
        withUnsafeBytes { String(decoding: $0[range], as: UTF8.self) }
    }
}

/// A JSON object as Foundation reads it.
func jsonObject(_ text: String) throws -> [String: Any]? {
    try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
}
