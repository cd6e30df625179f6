// SPDX-License-Identifier: Apache-2.0
//
// `<topicPrefix>.transaction`: a record when a source transaction begins and one when it ends, as
// Debezium has them. Counts come from the changes' own ordinals, so that they are right also where
// the first part of a transaction was written by an earlier run.

#if Kafka
import ChangeModel
import Sink

/// Follows the transactions that pass.
struct TransactionMarks {
    private let encoder: MetadataRecordEncoder
    /// The transaction that has begun and not ended.
    private var open: Transaction?
    private var tally = TransactionTally()

    init(_ encoder: MetadataRecordEncoder) {
        self.encoder = encoder
    }

    /// Forgets the transaction that has not ended.
    mutating func forget() {
        open = nil
        tally.removeAll()
    }

    /// Whether these changes belong to another transaction than the one that is open.
    func isOther(_ transaction: Transaction) -> Bool {
        open?.commitLSN != transaction.commitLSN
    }

    /// Begins a transaction; gives its mark.
    mutating func begin(_ transaction: Transaction) -> MetadataRecord {
        forget()
        open = transaction
        return encoder.begin(transaction)
    }

    /// To be called with each new batch: its relations have other indices.
    mutating func enter(_ batch: borrowing ChangeBatch) {
        tally.enter(batch)
    }

    /// Counts changes of the open transaction.
    mutating func count(_ batch: borrowing ChangeBatch, _ range: Range<Int>) {
        tally.count(batch, range)
    }

    /// Ends the open transaction; gives its mark, `nil` where none is open.
    mutating func end() -> MetadataRecord? {
        guard let transaction = open else { return nil }
        defer { forget() }
        return encoder.end(transaction, tally)
    }

    /// Where the open transaction commits.
    var openCommitLSN: LSN? { open?.commitLSN }
}
#endif
