// SPDX-License-Identifier: Apache-2.0
//
// What `schemas: true` declares of a column: Kafka Connect's type for what `ValueWriter` writes,
// with Debezium's names for what the bare type does not say. docs/types.md has the table.
//
// A name is given only where the text has the form that the name stands for: Debezium's IsoDate
// and IsoTimestamp end in an offset, ours have none, so those are strings without a name.

import ChangeModel

/// A schema as Kafka Connect's JsonConverter reads it.
indirect enum ConnectSchema: Sendable, Equatable {
    /// A type that has no parts.
    enum Primitive: String, Sendable {
        case boolean, int16, int32, int64, float, double, string, bytes
    }

    /// A type, the name of its meaning, and that meaning's parameters.
    case primitive(Primitive, name: String = "", parameters: [Parameter] = [])
    /// Elements, each of which may be null.
    case array(ConnectSchema)
    /// Fields in their order.
    case structure([Field], name: String = "", version: Int? = nil)

    /// A named number or text that belongs to a name.
    struct Parameter: Sendable, Equatable {
        var name: String
        var value: String
    }

    /// A field of a structure.
    struct Field: Sendable, Equatable {
        var name: String
        var schema: ConnectSchema
        var isOptional = true
    }

    /// The schema of a type's values in one format; `oid` is the column's own type.
    init(_ type: ValueType, oid: UInt32, format: ValueFormat) {
        switch type {
        case .boolean, .bit:
            self = .primitive(.boolean)
        case .integer:
            self = .primitive(oid == 21 ? .int16 : oid == 23 ? .int32 : .int64)
        case .float:
            self = .primitive(oid == 700 ? .float : .double)
        case .numeric(let scale):
            self = Self.decimal(scale: scale, format)
        case .money:
            self = Self.decimal(scale: 2, format)
        case .binary:
            self = .primitive(format.binary == .base64 ? .bytes : .string)
        case .hstore:
            self = .primitive(.string, name: "io.debezium.data.Json")
        case .array(let element, _):
            self = .array(ConnectSchema(element, oid: Self.element(ofArray: oid), format: format))
        case .text:
            self = .primitive(.string, name: Self.textNames[oid] ?? "")
        case .date, .time, .timeWithZone, .timestamp, .timestampWithZone, .interval:
            self = Self.temporal(type, format)
        }
    }

    private static func decimal(scale: Int?, _ format: ValueFormat) -> ConnectSchema {
        switch (format.decimals, scale) {
        case (.string, _): .primitive(.string)
        case (.double, _): .primitive(.double)
        case (.precise, .some(let scale)):
            .primitive(
                .bytes,
                name: "org.apache.kafka.connect.data.Decimal",
                parameters: [Parameter(name: "scale", value: String(scale))]
            )
        case (.precise, nil):
            .structure(
                [
                    Field(name: "scale", schema: .primitive(.int32), isOptional: false),
                    Field(name: "value", schema: .primitive(.bytes), isOptional: false),
                ],
                name: "io.debezium.data.VariableScaleDecimal",
                version: 1
            )
        }
    }

    private static func temporal(_ type: ValueType, _ format: ValueFormat) -> ConnectSchema {
        let isEpoch = format.temporal == .epoch
        return switch type {
        case .timeWithZone: .primitive(.string, name: "io.debezium.time.ZonedTime")
        case .timestampWithZone: .primitive(.string, name: "io.debezium.time.ZonedTimestamp")
        case .date where isEpoch: .primitive(.int32, name: "io.debezium.time.Date")
        case .time(let digits) where isEpoch:
            digits <= 3
                ? .primitive(.int32, name: "io.debezium.time.Time")
                : .primitive(.int64, name: "io.debezium.time.MicroTime")
        case .timestamp(let digits) where isEpoch:
            .primitive(
                .int64,
                name: digits <= 3
                    ? "io.debezium.time.Timestamp" : "io.debezium.time.MicroTimestamp"
            )
        case .interval:
            isEpoch
                ? .primitive(.int64, name: "io.debezium.time.MicroDuration")
                : .primitive(.string, name: "io.debezium.time.Interval")
        default: .primitive(.string)
        }
    }

    /// json, jsonb, uuid and xml.
    private static let textNames: [UInt32: String] = [
        114: "io.debezium.data.Json", 3802: "io.debezium.data.Json",
        2950: "io.debezium.data.Uuid", 142: "io.debezium.data.Xml",
    ]

    /// The OID of an array type's elements, where it matters here; 0 elsewhere.
    static func element(ofArray oid: UInt32) -> UInt32 {
        switch oid {
        case 1005: 21
        case 1007: 23
        case 1016: 20
        case 1028: 26
        case 1021: 700
        case 199: 114
        case 3807: 3802
        case 2951: 2950
        case 143: 142
        default: 0
        }
    }
}

extension ConnectSchema {
    /// The JSON that stands for a large value that was not sent; `nil` where the type has none.
    ///
    /// Debezium's: the placeholder, its bytes, or a list of either. Types of a fixed size are never
    /// without their value; for the others that cannot say it, silence would read as NULL.
    var unavailable: String? {
        switch self {
        case .primitive(.string, _, _): Self.unavailableText
        case .primitive(.bytes, _, _): Self.unavailableBytes
        case .structure: "{\"scale\":0,\"value\":\(Self.unavailableBytes)}"
        case .array(.primitive(let element, _, _))
        where [.int16, .int32, .int64, .float, .double].contains(element):
            "[" + "__debezium_unavailable_value".utf8.map { String($0) }.joined(separator: ",")
                + "]"
        case .array(let element): element.unavailable.map { "[\($0)]" }
        case .primitive: nil
        }
    }

    /// The placeholder of values that were not sent.
    static let unavailableText = "\"__debezium_unavailable_value\""
    /// The placeholder in base64.
    static let unavailableBytes = "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\""
}

extension OutputBuffer {
    /// Appends a schema, as a structure's field where `field` says so.
    mutating func append(
        _ schema: ConnectSchema,
        isOptional: Bool = false,
        field: String? = nil
    ) {
        append("{\"type\":")
        switch schema {
        case .primitive(let type, let name, let parameters):
            appendText(type.rawValue)
            append(isOptional ? ",\"optional\":true" : ",\"optional\":false")
            if !name.isEmpty { appendName(name, version: 1) }
            for (index, parameter) in parameters.enumerated() {
                append(index == 0 ? ",\"parameters\":{" : ",")
                appendText(parameter.name)
                append(":")
                appendText(parameter.value)
            }
            if !parameters.isEmpty { append("}") }
        case .array(let element):
            append("\"array\",\"items\":")
            append(element, isOptional: true)
            append(isOptional ? ",\"optional\":true" : ",\"optional\":false")
        case .structure(let fields, let name, let version):
            append("\"struct\",\"fields\":[")
            for (index, field) in fields.enumerated() {
                if index > 0 { append(",") }
                append(field.schema, isOptional: field.isOptional, field: field.name)
            }
            append(isOptional ? "],\"optional\":true" : "],\"optional\":false")
            if !name.isEmpty { appendName(name, version: version) }
        }
        if let field {
            append(",\"field\":")
            appendText(field)
        }
        append("}")
    }

    private mutating func appendName(_ name: String, version: Int?) {
        append(",\"name\":")
        appendText(name)
        if let version {
            append(",\"version\":")
            append(decimal: UInt64(version))
        }
    }
}
