// SPDX-License-Identifier: Apache-2.0
//
// What a stream says of whole tables, and what of it is refused.

import ChangeModel
import PgOutput

extension BatchAssembler {
    // MARK: Names

    /// The relation as last seen, under the new name where it has just taken one that is accepted.
    mutating func known(_ relation: Relation) -> Relation? {
        guard var known = baseline[relation.oid],
            (known.schema, known.name) != (relation.schema, relation.name),
            let accepted = policy.acceptedNames[relation.oid],
            (accepted.schema, accepted.name) == (relation.schema, relation.name)
        else { return baseline[relation.oid] }
        notices.append(
            "\(known.qualifiedName) is \(relation.qualifiedName) from \(transaction.commitLSN) on"
        )
        (known.schema, known.name) = (relation.schema, relation.name)
        return known
    }

    // MARK: TRUNCATE

    mutating func take(_ truncate: Truncate, at lsn: LSN) throws {
        guard state != .outside else {
            throw StreamFault.malformed("a change outside of a transaction", at: lsn)
        }
        guard state == .taking, policy.onTruncate != .ignore else { return }
        for oid in truncate.relations {
            try awaitCopy(of: oid)
            guard let index = cache.index(of: oid), let version = cache.entries[index].version,
                concernsCopied(truncateOf: oid)
            else { continue }
            guard policy.onTruncate == .apply else {
                throw StreamRefusal.ofTruncate(version.relation, in: transaction)
            }
            let relation = cache.place(index, in: &batch)
            ordinal &+= 1
            batch.changes.append(
                Change(
                    kind: .truncate,
                    old: .none,
                    relation: relation,
                    transaction: placeTransaction(),
                    newCells: 0,
                    oldCells: 0,
                    lsn: lsn,
                    ordinal: ordinal,
                    relationOrdinal: cache.nextOrdinal(index, in: transactionNumber)
                )
            )
        }
    }

    // MARK: Refusals

    func refuseRecreated(_ relation: Relation) throws {
        let former = baseline.values.first {
            ($0.schema, $0.name) == (relation.schema, relation.name)
        }
        guard let former, state == .taking,
            !policy.acceptedDDL.contains(transaction.commitLSN)
        else { return }
        let fault = "the table was dropped (OID \(former.oid)) and made anew"
        throw StreamRefusal.ofDDL(relation, formerly: former, [fault], in: transaction)
    }
}
