// SPDX-License-Identifier: Apache-2.0
//
// What happens between `write` and `commit`: routes, what is left out of a replay, transactions
// that grow old, marks and signs of life.

#if Kafka
import ChangeModel
import LibRDKafka
import Logging
import Sink

extension KafkaSink {
    /// The producer within a transaction.
    func begin(_ link: KafkaLink) throws -> ProducerSession {
        let session = try link.writer(after: stored, checkpoints)
        try session.begin()
        return session
    }

    // MARK: - Changes

    /// Hands over the records of changes, in parts of old transactions where they take long.
    func deliver(_ batch: borrowing ChangeBatch, _ range: Range<Int>) throws {
        marks?.enter(batch)
        let rest = try leaveOut(batch, range)
        guard !rest.isEmpty else { return }
        let link = try usable()
        Failpoint.hit(.beforeWrite)
        try link.makeOwnTopics()
        _ = try begin(link)
        try link.sender.routes.select(batch.relations) { try route(of: $0, link) }
        if marks == nil {
            try send(batch, rest, link)
        } else {
            try sendMarked(batch, rest, link)
        }
        heartbeat?.restart()
        Failpoint.hit(.afterWriteBeforeSync)
    }

    private func send(
        _ batch: borrowing ChangeBatch,
        _ range: Range<Int>,
        _ link: KafkaLink
    ) throws {
        let now = PostgresTime.now
        var next = range.lowerBound
        while next < range.upperBound {
            let session = try begin(link)
            let start = next
            next = try link.sender.send(batch, next..<range.upperBound, at: now, to: session)
            note(batch, written: start..<next)
            try session.poll()
            if session.isOld { try commitPart() }
        }
    }

    /// Notes how far the changes that were written have come.
    ///
    /// Rows that are copied beside a transaction do not bring it further.
    private func note(_ batch: borrowing ChangeBatch, written range: Range<Int>) {
        let last = batch.changes[range.upperBound - 1]
        guard last.kind != .read else { return }
        // What comes before the last change of another position cannot be in its run.
        var start = range.upperBound - 1
        while start > range.lowerBound, batch.changes[start - 1].lsn == last.lsn { start -= 1 }
        for index in start..<range.upperBound {
            let change = batch.changes[index]
            run.take(change, of: batch.transactions[Int(change.transaction)].commitLSN)
        }
        lastWritten = PartialTransaction(
            commitLSN: batch.transactions[Int(last.transaction)].commitLSN,
            ordinal: last.ordinal,
            lsn: last.lsn,
            place: run.count
        )
    }

    /// As `send`, with a mark where a transaction begins or ends.
    private func sendMarked(
        _ batch: borrowing ChangeBatch,
        _ range: Range<Int>,
        _ link: KafkaLink
    ) throws {
        var start = range.lowerBound
        while start < range.upperBound {
            let index = batch.changes[start].transaction
            var end = start + 1
            while end < range.upperBound, batch.changes[end].transaction == index { end += 1 }
            if batch.changes[start].kind != .read {
                let transaction = batch.transactions[Int(index)]
                if marks?.isOther(transaction) ?? false {
                    try markEnd()
                    try write(marks?.begin(transaction), at: transaction.commitLSN)
                }
                marks?.count(batch, start..<end)
            }
            try send(batch, start..<end, link)
            start = end
        }
    }

    /// Writes that the transaction which was open has ended.
    func markEnd() throws {
        guard let commitLSN = marks?.openCommitLSN, let mark = marks?.end() else { return }
        try write(mark, at: commitLSN)
    }

    private func write(_ mark: MetadataRecord?, at lsn: LSN) throws {
        guard let mark else { return }
        let link = try usable()
        try link.sender.send(
            key: mark.key,
            value: mark.value,
            to: names.transaction,
            tag: lsn,
            by: try begin(link)
        )
    }

    /// What of a range is not in the topics yet.
    private func leaveOut(
        _ batch: borrowing ChangeBatch,
        _ range: Range<Int>
    ) throws -> Range<Int> {
        guard let partial = skip else { return range }
        for index in range {
            let change = batch.changes[index]
            if change.kind == .read { return index..<range.upperBound }
            let transaction = batch.transactions[Int(change.transaction)]
            if transaction.commitLSN < partial.commitLSN { continue }
            let isThere =
                transaction.commitLSN == partial.commitLSN && change.ordinal <= partial.ordinal
            if isThere { run.take(change, of: transaction.commitLSN) }
            let isSame =
                change.lsn == partial.lsn && (partial.place.map { $0 == run.count } ?? true)
            guard isThere, change.ordinal < partial.ordinal || isSame else {
                let found =
                    isThere ? "another change has that place" : "it has fewer"
                throw errors.ordinalsChanged(partial, found)
            }
            // Its beginning is told already; its end will be.
            if marks?.isOther(transaction) ?? false { _ = marks?.begin(transaction) }
            marks?.count(batch, index..<(index + 1))
            if change.ordinal == partial.ordinal {
                skip = nil
                return (index + 1)..<range.upperBound
            }
        }
        return range.upperBound..<range.upperBound
    }

    // MARK: - Routes

    /// Where a relation's records go; makes its topic where that is missing.
    private func route(of relation: Relation, _ link: KafkaLink) throws -> Route {
        let needed = link.topics.tableTopic(relation)
        if !link.topics.isKnown(needed.name) {
            try link.topics.make([needed], admin: try link.admin())
        }
        remember(needed.name, link)
        let session = try begin(link)
        let topic = try link.topics.attempt("using \(needed.name)") { () throws(KafkaError) in
            try link.sender.routes.topic(needed.name, of: session.producer)
        }
        return Route(
            topic: Unmanaged.passUnretained(topic),
            partitions: Int32(clamping: partitions[needed.name] ?? 1),
            recordLimit: min(
                link.properties.recordLimit,
                link.topics.limit(of: needed.name) ?? .max
            ),
            keepsKeylessOrder: relation.replicaIdentity == .full
        )
    }

    /// Notes over how many partitions the keys of a topic are spread.
    func remember(_ topic: String, _ link: KafkaLink) {
        partitions[topic] = link.topics.partitions(of: topic, remembered: partitions[topic])
    }

    // MARK: - Commits

    /// Makes a checkpoint durable with what was handed over.
    func put(_ checkpoint: Checkpoint, partial: PartialTransaction?) throws {
        let link = try usable()
        try link.makeOwnTopics()
        let session = try begin(link)
        if let heartbeat, heartbeat.isDue { try beat(heartbeat, checkpoint.position, link) }
        if link.properties.transactionalID == nil { try session.flush() }
        // Durable by now only where there is no transaction: there the edge is between the two.
        Failpoint.hit(.afterSyncBeforeCheckpoint)
        try checkpoints.records(for: checkpoint, partial: partial, partitions: partitions) {
            try link.sender.send(
                key: $0,
                value: $1,
                to: names.checkpoint,
                tag: checkpoint.position,
                by: session
            )
        }
        // The commit is what gives the new checkpoint its place.
        Failpoint.hit(.checkpointWrittenBeforeRename)
        try session.commit()
        stored = checkpoints.stored(checkpoint, partial: partial, partitions: partitions)
        lastWritten = nil
    }

    /// Commits what there is of a transaction of the source that lasts for too long.
    func commitPart() throws {
        guard let stored else { return }
        if let lastWritten {
            log.info(
                "a transaction is committed in parts",
                metadata: ["code": "sink.parts", "lsn": "\(lastWritten.commitLSN)"]
            )
            try put(stored.checkpoint, partial: lastWritten)
        } else {
            // Rows that were copied beside a transaction do not take back what is there of it.
            try put(stored.checkpoint, partial: skip ?? stored.partial)
        }
    }

    // MARK: - While nothing comes

    /// Serves librdkafka, commits what has been open for long, sends a sign of life.
    public func idle() throws {
        guard let link, let session = link.session else { return }
        try session.poll()
        if session.isOld {
            try commitPart()
        } else if session.since == nil, let heartbeat, heartbeat.isDue, let stored {
            try session.begin()
            try beat(heartbeat, stored.checkpoint.position, link)
            try session.commit()
        }
    }

    private func beat(_ heartbeat: Heartbeat, _ position: LSN, _ link: KafkaLink) throws {
        let record = heartbeat.record(position: position, at: .now)
        try link.sender.send(
            key: record.key,
            value: record.value,
            to: names.heartbeat,
            tag: position,
            by: try begin(link)
        )
        self.heartbeat?.restart()
    }
}
#endif
