// SPDX-License-Identifier: Apache-2.0
//
// What the checkpoint knows of the tables, held against what the settings and the catalog say
// when a stream begins or while it runs. A dropped table sends no message, so only the catalog
// tells; columns are the stream's business (SchemaGuard), at the very transaction.

import ChangeModel
import Replication

struct SchemaBaseline: Equatable {
    /// A table that the checkpoint knows and the catalog does not have any more.
    struct Loss: Equatable {
        var relation: Relation
        var what: String
    }

    /// The relations to go on with.
    var relations: [Relation] = []
    /// What happened to relations, to be refused once the stream has come to the present.
    var losses: [Loss] = []
    /// New names that the settings take, by OID; the stream says where each begins.
    var acceptedNames: [UInt32: TableName] = [:]
    /// What the operator should be told.
    var notices: [String] = []

    /// Compares the checkpoint's relations with names from the catalog.
    ///
    /// `names` has the present name of each OID that still exists. A table that the settings do
    /// not take any more is let go; one that was renamed goes on under its new name if the
    /// settings name that one exactly, which is how an operator accepts it. The name of another
    /// table that was taken is no such word: two tables that changed their names are refused.
    init(
        known: [Relation],
        names: [UInt32: (schema: String, name: String)],
        selection: TableSelection
    ) {
        func isAnother(_ name: (schema: String, name: String)) -> Bool {
            known.contains { ($0.schema, $0.name) == name }
        }
        for relation in known {
            let isTaken = selection.rule(schema: relation.schema, name: relation.name) != nil
            guard let now = names[relation.oid] else {
                if isTaken {
                    relations.append(relation)
                    losses.append(Loss(relation: relation, what: "was dropped"))
                } else {
                    notices.append(
                        "\(relation.qualifiedName) was dropped and is not taken any more"
                    )
                }
                continue
            }
            if (now.schema, now.name) == (relation.schema, relation.name) {
                if isTaken {
                    relations.append(relation)
                } else {
                    notices.append("\(relation.qualifiedName) is not taken any more")
                }
            } else if Self.isNamed(now, in: selection), !isAnother(now) {
                relations.append(relation)
                acceptedNames[relation.oid] = .init(schema: now.schema, name: now.name)
                notices.append(
                    "\(relation.qualifiedName) goes on under its new name \(now.schema).\(now.name)"
                )
            } else if isTaken {
                relations.append(relation)
                losses.append(
                    Loss(relation: relation, what: "was renamed to \(now.schema).\(now.name)")
                )
            } else {
                notices.append(
                    "\(relation.qualifiedName), now \(now.schema).\(now.name), "
                        + "is not taken any more"
                )
            }
        }
    }

    private static func isNamed(
        _ name: (schema: String, name: String),
        in selection: TableSelection
    ) -> Bool {
        selection.include.contains { rule in
            rule.pattern.exactName.map { $0 == name } ?? false
        }
    }

    /// The refusal for the losses, `nil` where there are none.
    ///
    /// `position` is where the catalog was found so; the stream is at least that far.
    func refusal(at position: LSN) -> WalrelayError? {
        guard !losses.isEmpty else { return nil }
        let what = losses.map { "\($0.relation.qualifiedName) \($0.what)" }
            .joined(separator: "; ")
        return WalrelayError(
            "stream.table_gone",
            exit: .refused,
            "\(what) (noticed at \(position)); every change before that is in the sink",
            hint: "take the table out of tables.include, or put its new name there, "
                + "and start again"
        )
    }
}
