// SPDX-License-Identifier: Apache-2.0
//
// What the topics of a task are called. A broker takes letters, digits, `.`, `_` and `-`; what
// else a table's name has becomes `_`, so that two tables can come to one name: `clashes` says so
// before anything is written.

#if Kafka
import ChangeModel

/// The names of the topics below one prefix.
struct TopicNames: Sendable, Equatable {
    /// What a broker takes at most.
    static let lengthLimit = 249

    /// What every name begins with.
    let prefix: String

    /// The checkpoints of the tasks that write below this prefix.
    var checkpoint: String { "\(prefix).walrelay-checkpoint" }
    /// The beginning and the end of each transaction.
    var transaction: String { "\(prefix).transaction" }
    /// Signs of life while nothing changes.
    var heartbeat: String { "\(prefix).heartbeat" }
    /// What stands for records that were too large.
    var deadLetter: String { "\(prefix).dead-letter" }

    /// The topic of a table.
    func table(_ relation: Relation) -> String {
        "\(prefix).\(Self.legal(relation.schema)).\(Self.legal(relation.name))"
    }

    /// A text with `_` in place of every scalar that a broker refuses in a topic's name.
    static func legal(_ text: String) -> String {
        var legal = ""
        for scalar in text.unicodeScalars {
            legal.unicodeScalars.append(isLegal(scalar) ? scalar : "_")
        }
        return legal
    }

    private static func isLegal(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", ".", "_", "-": true
        default: false
        }
    }

    /// Whether a broker takes the name as it is.
    static func isLegal(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= lengthLimit && name != "." && name != ".."
            && name.unicodeScalars.allSatisfy(isLegal)
    }

    /// The metrics of a broker write `.` as `_`: it makes no two topics that differ only there.
    static func metricName(_ name: String) -> String {
        String(name.map { $0 == "." ? "_" : $0 })
    }

    /// What is wrong with the names alone, whatever a broker has.
    func findings(_ relations: [Relation]) -> [Finding] {
        var findings: [Finding] = []
        guard Self.isLegal(checkpoint) else {
            return [
                Finding(
                    "topic.prefix",
                    .failed,
                    subject: prefix,
                    found: "sink.kafka.topicPrefix is no part of a topic's name",
                    mend: "take letters, digits, `.`, `_` and `-`, and fewer than 220 of them"
                )
            ]
        }
        var owners: [String: Relation] = [:]
        for relation in relations {
            let name = table(relation)
            if name.utf8.count > Self.lengthLimit {
                findings.append(
                    Finding(
                        "topic.name_too_long",
                        .failed,
                        subject: relation.qualifiedName,
                        found: "its topic's name would have \(name.utf8.count) characters, and a "
                            + "broker takes \(Self.lengthLimit)",
                        mend: "set a shorter sink.kafka.topicPrefix or leave the table out"
                    )
                )
            }
            if let other = owners[name], other.oid != relation.oid {
                findings.append(
                    Finding(
                        "topic.name_clash",
                        .failed,
                        subject: relation.qualifiedName,
                        found: "its topic \(name) is that of \(other.qualifiedName) too",
                        mend: "leave one of the two out, or give it to a task with another "
                            + "topicPrefix"
                    )
                )
            }
            owners[name] = relation
        }
        return findings
    }
}
#endif
