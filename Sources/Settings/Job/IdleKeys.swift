// SPDX-License-Identifier: Apache-2.0
//
// The keys that documents of this format hold in the field and that have no effect here: what the
// vendor's editors write, and what only the vendor's own machinery reads. A document may have them,
// and is told so.

enum IdleKeys {
    static let document = ["core", "entry", "common", "extend", "gui", "nodeDef", "transform"]
    static let dataXJob = [
        "entry", "errorContext", "jobInfo", "postHandler", "preHandler", "type", "version",
    ]
    static let step = ["copies", "description", "displayName", "distribute", "gui"]
    static let setting = [
        "common", "executeMode", "failoverEnable", "jvmMemory", "jvmOption", "keyVersion", "locale",
        "resourceGroup", "statistics",
    ]
    static let speed = ["cu", "dmu", "jvmOption"]
    /// Of the parameters of a PostgreSQL, on either end.
    static let postgresql = [
        "description", "encoding", "envType", "guid", "instanceName", "loginTimeout",
        "mandatoryEncoding", "selectedDatabase", "tableComment", "useSpecialSecret",
    ]
    static let postgresqlReader = [
        "checkSlave", "hint", "indexes", "isTableMode", "partitionKey", "samplePercentage",
        "session", "splitFactor", "splitMode", "tableNumber",
    ]
    static let postgresqlWriter = ["emptyAsNull", "partitionKey", "session"]
    static let streamReader = ["encoding", "haveMixupFunction"]
    static let streamWriter = ["encoding", "recordNumBeforeSleep", "sleepTime", "visible"]
}
