// SPDX-License-Identifier: Apache-2.0
//
// A task from its start to its end, on the one thread that owns the sink.
//
//   turn ─▶ open the sink ─▶ check ─▶ publication, slot ─▶ snapshot ─▶ stream ─▶ close the sink
//    ▲                         │            │                  │          │
//    └──── roll back, wait ◀───┴────────────┴──── transient ───┴──────────┘   anything else ends it
//
// Rule 2, held in one place each:  confirmed flush ≤ checkpoint = durable ≤ received
//                                  StreamReader.confirm   StreamPhase.commit   StreamReader.drain

import ChangeModel
public import LibPQ
public import Logging
import Replication
public import Sink

/// Runs one task; everything it does happens in `run`, on the caller's thread.
public final class TaskRunner: Sendable {
    let options: TaskOptions
    let board: StatusBoard
    let stop: StopSignal
    let log: Logger
    let supervisor: TaskSupervisor
    let slots: SlotMonitor
    let turn = Turn()
    private let makeSink: @Sendable (any SinkSupervisor) throws -> any Sink

    /// A task that has not begun; `makeSink` is called on the thread that calls `run`.
    public init(
        options: TaskOptions,
        board: StatusBoard,
        stop: StopSignal,
        log: Logger,
        makeSink: @escaping @Sendable (any SinkSupervisor) throws -> any Sink
    ) {
        self.options = options
        self.board = board
        self.stop = stop
        self.log = log
        self.makeSink = makeSink
        slots = SlotMonitor(options: options, board: board, log: log)
        supervisor = TaskSupervisor(
            board: board,
            stop: stop,
            log: log,
            retryFor: options.retryFor,
            slots: slots
        )
    }

    /// Runs until a stop, the end that the options name, or an error that no retry mends.
    ///
    /// Blocks; to be called on a thread of its own. Throws `WalrelayError`.
    public func run() throws {
        board.begin(.sink)
        defer {
            slots.end()
            board.end(.sink)
        }
        do {
            try runAttempts()
            enter(.stopping)
        } catch let error as WalrelayError where error.exit == .success {
            enter(.stopping, error.message)
        } catch is CancellationError {
            enter(.stopping)
        } catch {
            let failure = Self.walrelayError(error)
            board.record(failure, phase: .failed)
            throw failure
        }
    }

    private func runAttempts() throws {
        var retry = RetryPolicy(limit: options.retryFor)
        var run = RunState()
        run.isResnapshotAsked = options.resnapshot
        var sink: (any Sink)?
        // The sink is closed before anybody else has the turn.
        defer { turn.end() }
        defer { if let sink { closeQuietly(sink) } }
        while !stop.isRequested {
            do {
                slots.expectNothing()
                if !run.isChecked { enter(.checking) }
                try takeTurn(&run)
                let control = try connect()
                if sink == nil { try requireFreeSlot(on: control) }
                let ready = try sink ?? makeSink(supervisor)
                try prepare(ready, isNew: sink == nil, run: &run)
                sink = ready
                let ending = try attempt(sink: ready, run: &run, control: control, retry: &retry)
                if ending == .finished { return }
            } catch {
                supervisor.sinkFailed()
                // What a sink holds after a failure only the sink itself knows: it is opened anew
                // and says so. One that keeps no checkpoint has nothing to say.
                if let failed = sink, failed.keepsCheckpoint {
                    closeQuietly(failed)
                    sink = nil
                }
                if slots.isRaised {
                    log.debug("ended by what became of the slot: \(error)")
                } else {
                    try waitAfter(error, run, retry: &retry)
                }
                if let verdict = slots.verdict { try conclude(verdict, run) }
            }
        }
    }

    private func prepare(_ sink: any Sink, isNew: Bool, run: inout RunState) throws {
        if !isNew {
            try sink.rollback()
            return
        }
        let checkpoint = try sink.open()
        if sink.keepsCheckpoint || run.checkpoint == nil { run.checkpoint = checkpoint }
        run.misfit = nil
    }

    /// Waits before the next attempt, or throws what no attempt will mend.
    private func waitAfter(
        _ error: any Error,
        _ run: RunState,
        retry: inout RetryPolicy
    ) throws {
        var failure = Self.walrelayError(error)
        if run.isChecked, Self.isOfRenewal(failure) { failure.isTransient = true }
        // The former daemon's process may be stopped, and not dead.
        if run.tookOver, failure.code == "sink.directory_in_use" { failure.isTransient = true }
        guard failure.isTransient, !stop.isRequested else {
            if stop.isRequested, failure.isTransient { throw CancellationError() }
            throw failure
        }
        var delay = try retry.delay(after: failure)
        if failure.code == "slot.in_use" { delay = min(delay, Self.slotPatience) }
        board.recordFailedAttempt(failure)
        board.update { $0.standby = nil }
        log.warning(
            "\(failure.message); trying again",
            metadata: Self.metadata(failure).merging(["phase": "reconnecting"]) { $1 }
        )
        let deadline = ContinuousClock.now + delay
        while ContinuousClock.now < deadline, !stop.isRequested, !slots.isRaised {
            board.beat(.sink)
            stop.sleep(for: min(.seconds(1), deadline - .now))
        }
    }

    /// The longest wait for a slot, which somebody's end frees from one moment to the next.
    private static let slotPatience: Duration = .seconds(2)

    /// Whether an error may be that of a moment in which certificates or passwords are renewed: a
    /// key is there before its certificate, the server has the new password before the file, one
    /// side trusts the new authority before the other.
    ///
    /// A task that has run before waits for the end of it; one that starts has wrong settings.
    private static func isOfRenewal(_ error: WalrelayError) -> Bool {
        error.code.hasPrefix("tls.") || renewalCodes.contains(error.code)
    }

    private static let renewalCodes = [
        "settings.secret_file", "source.tls", "source.login_refused", "sink.tls",
        "sink.login_refused",
    ]

    private func closeQuietly(_ sink: any Sink) {
        do {
            try sink.close()
        } catch {
            log.error(
                "closing the sink: \(error)",
                metadata: ["code": "\((error as? WalrelayError)?.code ?? "sink.close")"]
            )
        }
    }

    static func walrelayError(_ error: any Error) -> WalrelayError {
        switch error {
        case let error as WalrelayError: error
        case let error as PostgresError: WalrelayError(error, while: "talking to the source")
        case is CancellationError: WalrelayError("stopped", exit: .success, "stopped")
        default: WalrelayError("internal", exit: .internalError, "\(error)")
        }
    }
}

/// What a run remembers from one attempt to the next.
struct RunState {
    /// The sink's checkpoint, as last committed.
    var checkpoint: Checkpoint?
    /// Where the run ends by itself, once it is known.
    var until: LSN?
    /// Whether the full check of the prerequisites has passed.
    var isChecked = false
    /// Whether a new snapshot is to be taken if checkpoint and source do not fit.
    var isResnapshotAsked = false
    /// Why that is due; then `checkpoint` is `nil`, whatever the sink has.
    var misfit: WalrelayError?
    /// Whether this run has taken the task over from another daemon.
    var tookOver = false
    /// Whether this run has begun a snapshot that is not whole in the sink.
    var isSnapshotUnfinished = false
    /// Whether the relations were read from the catalog later than the position: the stream then
    /// says what they looked like.
    var isBaselineProvisional = false
}

/// How an attempt ended without an error.
enum AttemptEnding {
    /// The run is over.
    case finished
    /// There is more to do.
    case goOn
}
