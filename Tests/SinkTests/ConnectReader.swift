// SPDX-License-Identifier: Apache-2.0
//
// The rules by which Kafka Connect reads {"schema":…,"payload":…}, stricter than its JsonConverter:
// that one reads a text as the number 0, and passes over a field that no schema has.

import ChangeModel
import Foundation
import Sink

/// What is wrong with a typed JSON text; empty where nothing is.
func connectFaults(_ text: String) throws -> [String] {
    guard let object = try jsonObject(text), object.count == 2,
        let schema = object["schema"] as? [String: Any], let payload = object["payload"]
    else { return ["not a schema and a payload: \(text)"] }
    var reader = ConnectReader()
    reader.checkSchema(schema, at: "schema")
    if reader.faults.isEmpty { reader.check(payload, schema, at: "payload") }
    return reader.faults
}

/// Collects what a schema forbids.
struct ConnectReader {
    private(set) var faults: [String] = []

    private static let primitives: Set<String> = [
        "boolean", "int8", "int16", "int32", "int64", "float", "double", "string", "bytes",
    ]

    mutating func checkSchema(_ schema: [String: Any], at place: String) {
        guard let type = schema["type"] as? String else {
            faults.append("\(place): no type")
            return
        }
        if schema["optional"] as? Bool == nil { faults.append("\(place): not said if optional") }
        for (_, value) in schema["parameters"] as? [String: Any] ?? [:] where !(value is String) {
            faults.append("\(place): a parameter that is no string")
        }
        switch type {
        case "struct":
            let fields = schema["fields"] as? [[String: Any]] ?? []
            if schema["fields"] as? [[String: Any]] == nil { faults.append("\(place): no fields") }
            let names = fields.compactMap { $0["field"] as? String }
            if names.count != fields.count || Set(names).count != names.count {
                faults.append("\(place): fields without names or with the same one: \(names)")
            }
            for field in fields { checkSchema(field, at: "\(place).\(field["field"] ?? "?")") }
        case "array":
            guard let items = schema["items"] as? [String: Any] else {
                faults.append("\(place): no items")
                return
            }
            checkSchema(items, at: place + "[]")
        default:
            if !Self.primitives.contains(type) { faults.append("\(place): unknown \(type)") }
        }
    }

    mutating func check(_ value: Any?, _ schema: [String: Any], at place: String) {
        guard let value, !(value is NSNull) else {
            if schema["optional"] as? Bool != true { faults.append("\(place): null, required") }
            return
        }
        let type = schema["type"] as? String ?? ""
        switch type {
        case "struct":
            guard let object = value as? [String: Any] else { break }
            var names: Set<String> = []
            for field in schema["fields"] as? [[String: Any]] ?? [] {
                let name = field["field"] as? String ?? ""
                names.insert(name)
                check(object[name], field, at: "\(place).\(name)")
            }
            for name in object.keys where !names.contains(name) {
                faults.append("\(place).\(name): not declared")
            }
            return
        case "array":
            guard let list = value as? [Any], let items = schema["items"] as? [String: Any]
            else { break }
            for element in list { check(element, items, at: place + "[]") }
            return
        default:
            if Self.isPrimitive(value, type) { return }
        }
        faults.append("\(place): \(value) is no \(type)")
    }

    private static func isPrimitive(_ value: Any, _ type: String) -> Bool {
        let number = value as? NSNumber
        // A truth value is a number to Foundation, too.
        let isTruth = number.map { String(cString: $0.objCType) == "c" } ?? false
        let text = value as? String
        switch type {
        case "boolean": return isTruth
        case "string": return text != nil
        case "bytes": return text.flatMap { Data(base64Encoded: $0) } != nil
        case "float", "double":
            // As JsonConverter writes what JSON has no number for.
            if let text { return ["NaN", "Infinity", "-Infinity"].contains(text) }
            return number != nil && !isTruth
        case "int16": return !isTruth && number.flatMap { Int16($0.stringValue) } != nil
        case "int32": return !isTruth && number.flatMap { Int32($0.stringValue) } != nil
        case "int64": return !isTruth && number.flatMap { Int64($0.stringValue) } != nil
        default: return false
        }
    }
}

/// One value under its schema.
struct TypedValue {
    /// The JSON of the value as it stands in `after`.
    var json: String
    /// What the schema forbids of the whole record.
    var faults: [String]
}

/// A value of a column as a record with schemas has it.
func typedValue(
    _ type: ValueType,
    _ field: Field,
    oid: UInt32,
    format: ValueFormat = ValueFormat()
) throws(WalrelayError) -> TypedValue {
    var batch = ChangeBatch()
    batch.addRelation(identity: .nothing, typeOID: oid, columns: [("v", type, false)])
    batch.addChange(.insert, new: [field])
    let record = try records(of: batch, form: .typed, format: format)[0]
    let value = record.value ?? ""
    let start = value.range(of: #""after":{"v":"#)?.upperBound ?? value.endIndex
    let end = value.range(of: #"},"source":{"version""#)?.lowerBound ?? value.endIndex
    let faults = [record.key, record.value].compactMap { text -> [String]? in
        (try? connectFaults(text ?? "")) ?? ["no JSON: \(text ?? "none")"]
    }
    return TypedValue(json: String(value[start..<end]), faults: faults.flatMap { $0 })
}

/// What is declared of a column in `after`.
func declaredSchema(
    _ type: ValueType,
    oid: UInt32,
    format: ValueFormat
) throws -> [String: Any] {
    var batch = ChangeBatch()
    batch.addRelation(identity: .nothing, typeOID: oid, columns: [("v", type, false)])
    batch.addChange(.insert, new: [.null])
    let value = try records(of: batch, form: .typed, format: format)[0].value ?? ""
    let schema = try jsonObject(value)?["schema"] as? [String: Any]
    let after = (schema?["fields"] as? [[String: Any]])?.first { $0["field"] as? String == "after" }
    return (after?["fields"] as? [[String: Any]])?.first ?? [:]
}
