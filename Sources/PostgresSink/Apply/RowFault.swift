// SPDX-License-Identifier: Apache-2.0

import ChangeModel

/// Why a change cannot be applied that the server has not refused by itself.
struct RowFault: Error, Equatable {
    /// What is wrong.
    enum Reason: Equatable {
        /// The row to update is not there, and the change does not hold all of it.
        case missing
        /// The change has no value for a column that its row is found by.
        case noKey
    }

    /// Index of the change in the batch.
    var change: Int
    /// What is wrong.
    var reason: Reason
}

/// The changes of one table that are being written, and how.
struct WriteScope {
    /// Where the changes stand.
    var batch: ChangeBatch
    /// Where they go.
    var table: TargetTable
    /// Whether an insert overwrites what is there already.
    var isMerging: Bool

    /// The error for a cell that is not what it has to be: a defect of ours, whatever the source.
    var inconsistency: WalrelayError {
        WalrelayError(
            "batch.inconsistent",
            exit: .internalError,
            "a change of \(table.relation.relation.qualifiedName) lacks a value or points outside "
                + "of its batch",
            hint: "report this as a defect with the table's definition"
        )
    }
}
