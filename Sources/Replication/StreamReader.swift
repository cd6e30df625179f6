// SPDX-License-Identifier: Apache-2.0
//
// The loop of the stream, on a thread of its own:
//
//   receive → decode and assemble → hand over → confirm → wait
//
// It never waits for a sink. While the queue is full it stops receiving, so that the walsender
// feels the back-pressure, and goes on telling the server that it is alive.

import ChangeModel
import Glibc
public import LibPQ
public import Logging
import PgOutput

/// Reads a slot's stream into a queue of batches.
public struct StreamReader: ~Copyable {
    private let stream: ReplicationStream
    private var assembler: BatchAssembler
    private var options: StreamOptions
    /// Which of the live bounds the options have.
    private var limitsSeen = -1
    private let queue: BatchQueue
    private let position: StreamPosition
    private let stop: StopSignal
    private let log: Logger
    private let beat: @Sendable () -> Void

    /// After so many bytes the loop looks at everything else before it receives more.
    private static let drainBytes = 1 << 20

    private var pace = ReceivePace()
    /// A closed batch that the queue had no room for.
    private var pending: ChangeBatch?
    private var oldestChange: ContinuousClock.Instant?
    private var lastIdleAdvance = ContinuousClock.now
    private var lastStatus = ContinuousClock.now
    /// When something came last, or nothing was read because the sink is behind.
    private var lastHeard = ContinuousClock.now
    private var confirmed: LSN
    /// The position of the last batch that was handed over.
    private var handedOver: LSN
    private var replyIsDue = false
    private var bytesDrained = 0

    /// Connects and starts streaming.
    ///
    /// Blocks; throws `WalrelayError`.
    ///
    /// `beat` is called each time the loop comes round.
    public init(
        options: StreamOptions,
        parameters: ConnectionParameters,
        assembler: consuming BatchAssembler,
        queue: BatchQueue,
        position: StreamPosition,
        stop: StopSignal,
        log: Logger,
        beat: @escaping @Sendable () -> Void
    ) throws {
        let start = assembler.position
        do {
            let connection = try Connection.open(parameters.for(.stream).replication, stop: stop)
            try options.primary?.verify(on: connection)
            stream = try ReplicationStream(
                on: connection,
                slot: options.slot,
                publication: options.publication,
                from: start
            )
        } catch let error as PostgresError {
            throw StreamFault.error(error, options: options, at: start)
        }
        self.assembler = assembler
        self.assembler.until = options.until
        self.options = options
        self.queue = queue
        self.position = position
        self.stop = stop
        self.log = log
        self.beat = beat
        confirmed = start
        handedOver = start
    }

    /// Reads until a stop, the `until` position or an error; blocks.
    ///
    /// On an error the changes of finished transactions are still handed over; those of the
    /// transaction at fault never are, as a whole. The caller finishes the queue.
    public mutating func run() throws -> StreamEnding {
        do {
            while true {
                beat()
                takeNewLimits()
                if stop.isRequested { return try drainAndEnd(.stopped) }
                if assembler.isAtEnd { return try drainAndEnd(.reachedUntil) }
                let drained = try drain()
                tellNotices()
                handOver(whenIdle: !drained)
                try confirm()
                try refuseSilence(hasHeard: drained || pending != nil)
                if drained, pending == nil {
                    pace.pause(afterDraining: bytesDrained)
                } else {
                    try waitForNews()
                }
            }
        } catch let wait as CopyAwaited {
            return try awaitCopy(wait)
        } catch let error as WalrelayError where error.exit == .refused {
            // What was committed before the refused transaction still goes to the sink.
            assembler.dropUnfinishedTransaction()
            tellNotices()
            _ = try? drainAndEnd(.stopped)
            throw error
        }
    }

    private mutating func takeNewLimits() {
        guard let news = options.liveLimits?.news(since: &limitsSeen) else { return }
        options.batchRows = news.rows
        options.batchBytes = news.bytes
        options.batchDelay = news.delay
    }

    // MARK: Receiving

    /// Takes what has arrived, until nothing is left or the batch is full and cannot be handed
    /// over.
    ///
    /// Returns whether there was anything. What libpq holds already goes first: it doubles its
    /// buffer each time it is asked for more with the buffer full.
    private mutating func drain() throws -> Bool {
        guard offerPending() else { return false }
        bytesDrained = 0
        var bytesAtReceive = -1
        while true {
            switch try takeMessage() {
            case .message:
                if isFull, !closeBatch() { return true }
            case .ended:
                throw StreamFault.error(stream.verdict(), options: options, at: position.received)
            case .wouldBlock:
                if bytesDrained == bytesAtReceive || bytesDrained > Self.drainBytes {
                    return bytesDrained > 0
                }
                bytesAtReceive = bytesDrained
                try stream.receive()
            }
        }
    }

    @inline(__always)
    private mutating func takeMessage() throws -> CopyProgress {
        try stream.next { frame in
            bytesDrained += frame.count
            switch try decode(frame) {
            case .walData(let start, let end, _, let offset):
                position.advanceReceived(to: max(start, end))
                try assembler.accept(frame.extracting(offset..<frame.count), at: start)
            case .keepalive(let walEnd, _, let replyRequested):
                position.advanceReceived(to: walEnd)
                assembler.advance(to: walEnd)
                replyIsDue = replyIsDue || replyRequested
            }
        }
    }

    @inline(__always)
    private func decode(_ frame: Span<UInt8>) throws -> ReplicationFrame {
        do {
            return try ReplicationFrame.decode(frame)
        } catch {
            throw error.walrelayError(at: position.received)
        }
    }

    private mutating func tellNotices() {
        guard !assembler.notices.isEmpty else { return }
        for notice in assembler.notices { log.notice("\(notice)") }
        assembler.notices.removeAll()
    }

    // MARK: Handing over

    private var isFull: Bool {
        assembler.batch.changes.count >= options.batchRows
            || assembler.batch.bytes.count >= options.batchBytes
    }

    /// Closes the batch and offers it; false while the queue has no room.
    private mutating func closeBatch() -> Bool {
        let batch = assembler.take(next: queue.spare())
        oldestChange = nil
        if let checkpoint = batch.checkpoint {
            handedOver = checkpoint.position
            position.advanceReceived(to: handedOver)
        }
        pending = batch
        return offerPending()
    }

    private mutating func offerPending() -> Bool {
        guard var batch = pending.take() else { return true }
        if queue.offer(&batch) { return true }
        pending = batch
        return false
    }

    /// Hands over what is ripe: a batch that has waited long enough, or a position alone.
    private mutating func handOver(whenIdle isIdle: Bool) {
        guard offerPending(), assembler.hasBoundary else { return }
        let now = ContinuousClock.now
        if assembler.hasNoChanges {
            guard assembler.isAtEnd || now - lastIdleAdvance >= options.idleAdvance else { return }
            lastIdleAdvance = now
            _ = closeBatch()
            return
        }
        guard let since = oldestChange else {
            oldestChange = now
            if options.batchDelay == .zero, isIdle { _ = closeBatch() }
            return
        }
        let isRipe = options.batchDelay == .zero ? isIdle : now - since >= options.batchDelay
        if isRipe { _ = closeBatch() }
    }

    // MARK: Confirming

    /// Ends a session of which only the way to the server is left: a proxy or a tunnel goes on to
    /// acknowledge what is sent when the server behind it is gone.
    ///
    /// Throws `source.silent`, which is transient.
    private mutating func refuseSilence(hasHeard: Bool) throws {
        let now = ContinuousClock.now
        if hasHeard { lastHeard = now }
        let silence = now - lastHeard
        guard silence > options.silenceLimit, !options.isSilenceExplained() else { return }
        throw WalrelayError(
            "source.silent",
            exit: .unreachable,
            "The source has sent nothing for \(Prose.time(milliseconds: silence.milliseconds)), "
                + "also when it was asked to",
            hint: "see whether the server runs, and what lies between: proxies, tunnels, firewalls",
            isTransient: true
        )
    }

    private mutating func confirm(force: Bool = false) throws {
        let now = ContinuousClock.now
        let durable = position.durable
        let isNews = durable > confirmed && now - lastStatus >= .milliseconds(100)
        let asksServer = options.until != nil && now - lastStatus >= .milliseconds(50)
        let isDue = now - lastStatus >= options.statusInterval
        guard force || isNews || isDue || replyIsDue || asksServer else { return }
        precondition(confirmed <= durable, "the confirmed position went back")
        let received = max(position.received, durable)
        try stream.send(
            StandbyStatus(
                written: received,
                flushed: durable,
                applied: durable,
                at: .now,
                replyRequested: asksServer || now - lastHeard > options.silenceLimit / 3
            )
        )
        confirmed = durable
        lastStatus = now
        replyIsDue = false
    }

    // MARK: Waiting

    /// Waits, with the session open, until the stream is to begin anew.
    ///
    /// Nothing is received, as while the queue is full. What came of the transaction that waits
    /// comes again.
    private mutating func awaitCopy(_ wait: CopyAwaited) throws -> StreamEnding {
        assembler.dropUnfinishedTransaction()
        tellNotices()
        if pending == nil, assembler.hasBoundary { _ = closeBatch() }
        while !stop.isRequested {
            beat()
            // Not before all that is whole is on its way: then the rest is to be given up.
            if offerPending() { assembler.gate?.wait(with: wait.commit) }
            if assembler.gate?.isTold == true, pending == nil {
                assembler.comeToDroppedTransaction()
                if assembler.hasBoundary { _ = closeBatch() }
            }
            try confirm()
            queue.consumerMoved.wait(for: min(.milliseconds(100), options.statusInterval))
        }
        assembler.gate?.passed()
        return try drainAndEnd(.stopped)
    }

    /// Sleeps until the server sends, the sink moves, a stop comes or something of ours is due.
    private mutating func waitForNews() throws {
        let isBlocked = pending != nil
        var events = Int16(isBlocked ? 0 : POLLIN)
        if try stream.flushPending() { events |= Int16(POLLOUT) }
        var set = [
            pollfd(fd: stream.socket, events: events, revents: 0),
            pollfd(fd: queue.consumerMoved.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: stop.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        _ = poll(&set, 3, waitLimit().pollMilliseconds)
        if set[1].revents != 0 { queue.consumerMoved.clear() }
        pace.woke()
    }

    private func waitLimit() -> Duration {
        var limit = min(Duration.milliseconds(500), options.statusInterval)
        if options.until != nil { limit = min(limit, .milliseconds(50)) }
        if position.durable > confirmed { limit = min(limit, .milliseconds(100)) }
        if pending == nil, assembler.hasBoundary {
            if let since = oldestChange {
                let left = options.batchDelay - (ContinuousClock.now - since)
                limit = min(limit, max(.zero, left))
            } else if !assembler.hasNoChanges {
                limit = min(limit, options.batchDelay)
            }
        }
        return limit
    }

    // MARK: Ending

    /// Brings what is whole to the sink, waits until it is durable, confirms it and ends.
    private mutating func drainAndEnd(_ ending: StreamEnding) throws -> StreamEnding {
        let deadline = ContinuousClock.now + options.drainLimit
        assembler.dropUnfinishedTransaction()
        if pending == nil, assembler.hasBoundary { _ = closeBatch() }
        while !offerPending() || position.durable < handedOver {
            let mayWait = ending == .reachedUntil && !stop.isRequested
            guard mayWait || ContinuousClock.now < deadline else { break }
            guard !queue.isDrained else { break }
            beat()
            try confirm()
            queue.consumerMoved.wait(for: .milliseconds(50))
        }
        try confirm(force: true)
        stream.end(within: .seconds(5))
        return ending
    }
}
