// SPDX-License-Identifier: Apache-2.0
//
// What the operator reads about a transaction that is not let through: what happened to which
// table, where, and which setting lets it through.

public import ChangeModel

/// The refusals of a stream.
public enum StreamRefusal {
    /// A change of a table's shape that is not followed.
    static func ofDDL(
        _ relation: Relation,
        formerly known: Relation,
        _ faults: [String],
        in transaction: Transaction
    ) -> WalrelayError {
        ofDDL(
            relation,
            formerly: known,
            faults,
            place: "before or in the transaction that commits at \(transaction.commitLSN) "
                + "(xid \(transaction.xid))",
            acceptedAt: transaction.commitLSN,
            ending: "Nothing of that transaction is in the sink"
        )
    }

    /// The same where no change of the table came after it, so that only two snapshots show it.
    ///
    /// It is accepted by the position of the interrupted one.
    public static func ofDDL(
        _ relation: Relation,
        formerly known: Relation,
        _ faults: [String],
        interruptedAt former: LSN,
        seenAt lsn: LSN
    ) -> WalrelayError {
        ofDDL(
            relation,
            formerly: known,
            faults,
            place: "between the interrupted snapshot at \(former) and \(lsn)",
            acceptedAt: former,
            ending: "Every change before that is in the sink, and no row of another snapshot"
        )
    }

    private static func ofDDL(
        _ relation: Relation,
        formerly known: Relation,
        _ faults: [String],
        place: String,
        acceptedAt lsn: LSN,
        ending: String
    ) -> WalrelayError {
        let accept = "set stream.acceptDDL: \"\(lsn)\""
        let isRenamed = known.qualifiedName != relation.qualifiedName
        let include =
            "put \(relation.qualifiedName) into tables.include in the place of "
            + known.qualifiedName
        let decision = !isRenamed ? accept : faults.count > 1 ? "\(include), \(accept)" : include
        return WalrelayError(
            "stream.ddl_refused",
            exit: .refused,
            "\(known.qualifiedName) was changed in a way that is not followed, \(place): "
                + faults.joined(separator: "; ") + ". \(ending)",
            hint: "if consumers can take the change, \(decision) and start again; "
                + "nothing is lost meanwhile"
        )
    }

    /// A TRUNCATE, where the settings do not say what it is to do.
    static func ofTruncate(_ relation: Relation, in transaction: Transaction) -> WalrelayError {
        WalrelayError(
            "stream.truncate_refused",
            exit: .refused,
            "\(relation.qualifiedName) was truncated in the transaction that commits at "
                + "\(transaction.commitLSN) (xid \(transaction.xid)). "
                + "Nothing of that transaction is in the sink",
            hint: "set stream.onTruncate to ignore or apply and start again; "
                + "nothing is lost meanwhile"
        )
    }
}
