// SPDX-License-Identifier: Apache-2.0
//
// The schemas around the columns: keys, Debezium's envelope, its transaction records and
// heartbeats. Each is bytes that are made once: a value is `{"schema":…,"payload":`, the payload
// that a line would hold, and a brace.
//
// Fields that Debezium has and we do not send (`ts_ns`, `xmin` …) are declared, so that a reader
// that asks for them finds null, not an unknown field.

import ChangeModel

/// What the schemas of one task have in common.
struct RecordSchemas {
    /// What the schemas' names begin with.
    var prefix: String
    /// How values are spelled.
    var format: ValueFormat

    /// The schema of a row's columns.
    func column(_ index: Int, of version: RelationVersion) -> ConnectSchema {
        ConnectSchema(
            version.types[index],
            oid: version.relation.columns[index].typeOID,
            format: format
        )
    }

    /// The schema of a relation's keys; of its changes' places in the total order where the
    /// relation has no key.
    func key(of version: RelationVersion) -> ConnectSchema {
        let relation = version.relation
        var fields = relation.eventKey.map { index in
            ConnectSchema.Field(
                name: relation.columns[index].name,
                schema: column(index, of: version),
                isOptional: false
            )
        }
        if fields.isEmpty { fields = [.required("sequence", .string)] }
        return .structure(fields, name: name(relation, "Key"))
    }

    /// The schema of a relation's events.
    ///
    /// Every column is optional: an old row often holds but the key's, and absent is not NULL.
    func value(of version: RelationVersion) -> ConnectSchema {
        let relation = version.relation
        let row = ConnectSchema.structure(
            relation.columns.indices.map {
                ConnectSchema.Field(
                    name: relation.columns[$0].name,
                    schema: column($0, of: version)
                )
            },
            name: name(relation, "Value")
        )
        return .structure(
            [
                ConnectSchema.Field(name: "before", schema: row),
                ConnectSchema.Field(name: "after", schema: row),
                ConnectSchema.Field(name: "source", schema: Self.source, isOptional: false),
                ConnectSchema.Field(name: "transaction", schema: Self.transactionBlock),
                .required("op", .string), .optional("ts_ms", .int64),
                .optional("ts_us", .int64), .optional("ts_ns", .int64),
            ],
            name: name(relation, "Envelope"),
            version: 2
        )
    }

    private func name(_ relation: Relation, _ kind: String) -> String {
        "\(prefix).\(relation.schema).\(relation.name).\(kind)"
    }

    private static let source = ConnectSchema.structure(
        [
            .required("version", .string), .required("connector", .string),
            .required("name", .string), .required("ts_ms", .int64),
            ConnectSchema.Field(
                name: "snapshot",
                schema: .primitive(
                    .string,
                    name: "io.debezium.data.Enum",
                    parameters: [
                        ConnectSchema.Parameter(
                            name: "allowed",
                            value: "true,first,first_in_data_collection,"
                                + "last_in_data_collection,last,false,incremental"
                        )
                    ]
                )
            ),
            .required("db", .string), .optional("sequence", .string), .optional("ts_us", .int64),
            .optional("ts_ns", .int64), .required("schema", .string),
            .required("table", .string), .optional("txId", .int64), .optional("lsn", .int64),
            .optional("xmin", .int64),
        ],
        name: "io.debezium.connector.postgresql.Source",
        version: 1
    )

    private static let transactionBlock = ConnectSchema.structure(
        [
            .required("id", .string), .required("total_order", .int64),
            .required("data_collection_order", .int64),
        ],
        name: "event.block",
        version: 1
    )

    /// The schemas of `<prefix>.transaction`.
    static let transactionKey = ConnectSchema.structure(
        [.required("id", .string)],
        name: "io.debezium.connector.common.TransactionMetadataKey",
        version: 1
    )
    static let transactionValue = ConnectSchema.structure(
        [
            .required("status", .string), .required("id", .string),
            .optional("event_count", .int64),
            ConnectSchema.Field(
                name: "data_collections",
                schema: .array(
                    .structure(
                        [.required("data_collection", .string), .required("event_count", .int64)],
                        name: "event.collection",
                        version: 1
                    )
                )
            ),
            .required("ts_ms", .int64),
        ],
        name: "io.debezium.connector.common.TransactionMetadataValue",
        version: 1
    )

    /// The schemas of `<prefix>.heartbeat`.
    static let heartbeatKey = ConnectSchema.structure(
        [.required("serverName", .string)],
        name: "io.debezium.connector.common.ServerNameKey",
        version: 1
    )
    static let heartbeatValue = ConnectSchema.structure(
        [.required("ts_ms", .int64), .optional("lsn", .int64)],
        name: "io.debezium.connector.common.Heartbeat",
        version: 1
    )
}

extension ConnectSchema.Field {
    fileprivate static func required(_ name: String, _ type: ConnectSchema.Primitive) -> Self {
        Self(name: name, schema: .primitive(type), isOptional: false)
    }

    fileprivate static func optional(_ name: String, _ type: ConnectSchema.Primitive) -> Self {
        Self(name: name, schema: .primitive(type))
    }
}

extension OutputBuffer {
    /// Appends `{"schema":…,"payload":`.
    mutating func appendOpening(_ schema: ConnectSchema) {
        append("{\"schema\":")
        append(schema)
        append(",\"payload\":")
    }
}
