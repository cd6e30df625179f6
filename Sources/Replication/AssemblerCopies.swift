// SPDX-License-Identifier: Apache-2.0
//
// The assembler while not every table is whole (rule 3). Nothing here runs for a row of a table
// that is.

import ChangeModel
import PgOutput

extension BatchAssembler {
    /// The filters of the tables that are not whole at the checkpoint's position.
    static func filters(of checkpoint: Checkpoint, takesUncopied: Bool) -> [UInt32: CopyFilter] {
        var filters: [UInt32: CopyFilter] = [:]
        for relation in checkpoint.relations {
            let copy = checkpoint.copy(of: relation.oid)
            guard copy.progress != .whole || copy.point > checkpoint.position else { continue }
            filters[relation.oid] = CopyFilter(copy, takesUncopied: takesUncopied)
        }
        return filters
    }

    /// What becomes of a row of a table that is not whole; `nil` leaves it out.
    ///
    /// Throws `WalrelayError` where the key was not sent, and where it cannot be kept track of.
    mutating func filtered(
        _ kind: ChangeKind,
        _ oid: UInt32,
        old: OldTuple,
        oldTuple: TupleCells,
        newTuple: TupleCells,
        payload: Span<UInt8>,
        at lsn: LSN
    ) throws -> (kind: ChangeKind, old: OldTuple)? {
        try awaitCopy(of: oid)
        guard let filter = filters[oid] else { return (kind, old) }
        var verdict = filter.verdict(committedAt: transaction.commitLSN)
        if verdict == nil {
            let newKey = kind == .delete ? nil : try key(newTuple, filter, payload, at: lsn)
            let oldKey: Int64? =
                switch kind {
                case .insert: nil
                case _ where old == .none: newKey
                default: try key(oldTuple, filter, payload, at: lsn)
                }
            let isWhole =
                kind != .update
                || batch.cells[Int(newTuple.first)...].prefix(Int(newTuple.count))
                    .allSatisfy { $0 != .unchanged }
            verdict = filters[oid]?.verdict(old: oldKey, new: newKey, newIsWhole: isWhole)
        }
        switch verdict {
        case .take: return (kind, old)
        case .leaveOut: return nil
        case .asDelete: return (.delete, old)
        case .asInsert: return (.insert, .none)
        case .none: throw scattered(oid)
        }
    }

    /// Throws `CopyAwaited` where changes of the table have to wait for its rows.
    func awaitCopy(of oid: UInt32) throws {
        let commit = transaction.commitLSN
        if let gate, !gate.mayPass(oid, committedAt: commit) { throw CopyAwaited(commit: commit) }
    }

    private func key(
        _ tuple: TupleCells,
        _ filter: CopyFilter,
        _ payload: Span<UInt8>,
        at lsn: LSN
    ) throws -> Int64 {
        if let index = filter.keyIndex, index < Int(tuple.count) {
            let cell = batch.cells[Int(tuple.first) + index]
            let start = Int(cell.offset) - batch.bytes.count
            if cell.isValue, start >= 0, start + Int(cell.length) <= payload.count,
                let key = Int64(
                    postgresText: payload.extracting(start..<(start + Int(cell.length)))
                )
            {
                return key
            }
        }
        throw StreamFault.malformed("a row without the key by which its table is copied", at: lsn)
    }

    /// Whether no change of a table counts in the present transaction, and its rows will be read
    /// later, as what they look like then.
    ///
    /// Not while a snapshot is gone on with: that holds the tables against those it has begun with.
    func isLeftOut(_ oid: UInt32) -> Bool {
        checkpoint.snapshot == .complete
            && filters[oid]?.verdict(committedAt: transaction.commitLSN) == .leaveOut
    }

    /// Whether a TRUNCATE concerns what is copied of a table.
    func concernsCopied(truncateOf oid: UInt32) -> Bool {
        filters[oid].map { filter in
            let verdict = filter.verdict(committedAt: transaction.commitLSN)
            return verdict == nil || verdict == .take
        } ?? true
    }

    /// At a commit: what the transaction has made of the filters belongs to the checkpoint.
    mutating func commitCopies() {
        for (oid, filter) in filters where filter.hasChanged {
            filters[oid]?.hasChanged = false
            checkpoint.set(filter.copy)
        }
        guard checkpoint.snapshot == .complete else { return }
        // A table that is whole at the position needs no word of it any more.
        for (oid, filter) in filters
        where filter.copy.progress == .whole && filter.copy.point <= position
            && !filter.copy.isAsked
        {
            filters[oid] = nil
            look(at: oid)
            checkpoint.copies.removeAll { $0.oid == oid }
        }
    }

    private func scattered(_ oid: UInt32) -> WalrelayError {
        let name = baseline[oid]?.qualifiedName ?? "OID \(oid)"
        return WalrelayError(
            "snapshot.scattered",
            exit: .refused,
            "The transaction at \(transaction.commitLSN) moves keys of \(name), of which not all "
                + "is copied yet, into so many places that they cannot be kept track of",
            hint: "begin anew: walrelay teardown, an empty sink, and run again"
        )
    }
}
