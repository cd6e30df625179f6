// SPDX-License-Identifier: Apache-2.0
//
// One session of the stream, from its beginning at a checkpoint to its end.

import ChangeModel
import LibPQ
import Replication

/// The reader's side of a stream that is running.
struct StreamSession {
    let queue: BatchQueue
    let position: StreamPosition
    /// One that is filled, one that waits, one that is written, one to spare: `batch.bytes` bounds
    /// what all of them hold together.
    static let batchesInFlight = 4

    /// Ends this stream, and not the task.
    let stop: StopSignal
    private let worker: Worker<StreamEnding>

    init(
        start: Checkpoint,
        primary: Primary?,
        provisional: Bool,
        acceptedNames: [UInt32: TableName],
        takesUncopied: Bool,
        until: LSN?,
        types: TypeCatalog,
        statusInterval: Duration,
        arrived: Wakeup,
        runner: TaskRunner
    ) throws {
        let options = runner.options
        let queue = BatchQueue(
            capacity: 1,
            arrived: arrived,
            pressure: runner.board.backPressure
        )
        let position = StreamPosition(start: start.position, wakeup: queue.consumerMoved)
        let stop = StopSignal()
        (self.queue, self.position, self.stop) = (queue, position, stop)
        var stream = runner.streamOptions(until: until, statusInterval: statusInterval)
        stream.primary = primary
        let (board, log) = (runner.board, runner.log)
        var policy = options.policy
        policy.acceptedNames = acceptedNames
        policy.takesUncopied = takesUncopied
        worker = Worker(named: "reader") { [policy, stream] in
            board.begin(.reader)
            defer {
                queue.finish()
                board.end(.reader)
            }
            let assembler = BatchAssembler(
                checkpoint: start,
                isBaselineProvisional: provisional,
                policy: policy,
                types: types,
                gate: runner.gate,
                resolveTypes: { oids in
                    let connection = try Connection.open(options.source.for(.catalog), stop: stop)
                    return try SourceCatalog.types(oids, on: connection)
                },
                nameType: { runner.nameType(of: $0, stop: stop) }
            )
            var reader = try StreamReader(
                options: stream,
                parameters: options.source,
                assembler: assembler,
                queue: queue,
                position: position,
                stop: stop,
                log: log,
                beat: { board.beat(.reader) }
            )
            // Not before: until the server streams, the slot may be another session's.
            if start.snapshot == .complete { runner.enter(.streaming, lsn: start.position) }
            return try reader.run()
        }
    }

    /// Waits for the reader's end and returns or throws what came of it.
    func join(beat: () -> Void) throws -> StreamEnding {
        try worker.join(beat: beat)
    }

    /// Ends the reader after the sink has failed, whatever it is about to say.
    func abandon(beat: () -> Void) {
        stop.request()
        queue.finish()
        while queue.next(within: .zero) != nil {}
        _ = try? worker.join(beat: beat)
    }
}

extension TaskRunner {
    /// What a stream of the task is read with, by the settings as they are now.
    fileprivate func streamOptions(until: LSN?, statusInterval: Duration) -> StreamOptions {
        let limits = live.batchLimits.current
        var stream = StreamOptions(
            slot: options.slot,
            publication: options.publication,
            batchRows: limits.rows,
            batchBytes: limits.bytes,
            batchDelay: limits.delay,
            until: until,
            statusInterval: statusInterval
        )
        stream.liveLimits = live.batchLimits
        stream.isSilenceExplained = { [slots] in slots.isWalsenderBusy }
        return stream
    }
}
