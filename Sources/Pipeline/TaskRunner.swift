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
import Synchronization

/// Runs one task; everything it does happens in `run`, on the caller's thread.
public final class TaskRunner: Sendable {
    /// The options as they are now; the next attempt takes them.
    let live: LiveOptions
    /// Where changes wait for the rows of tables that are added.
    let gate = CopyGate()
    /// The options of the attempt that is under way.
    private let frozen: Mutex<LiveOptions.State>
    var options: TaskOptions { frozen.withLock { $0.options } }
    /// Whether the stream has to be begun anew, under other options.
    var isOutdated: Bool { live.snapshot.streamVersion != frozen.withLock { $0.streamVersion } }
    let board: StatusBoard
    let stop: StopSignal
    let log: Logger
    let supervisor: TaskSupervisor
    let slots: SlotMonitor
    let turn = Turn()
    private let makeSink: @Sendable (any SinkSupervisor) throws -> any Sink

    /// A task that has not begun and whose options stay as they are.
    public convenience init(
        options: TaskOptions,
        board: StatusBoard,
        stop: StopSignal,
        log: Logger,
        makeSink: @escaping @Sendable (any SinkSupervisor) throws -> any Sink
    ) {
        self.init(
            live: LiveOptions(options),
            board: board,
            stop: stop,
            log: log,
            makeSink: makeSink
        )
    }

    /// A task that has not begun; `makeSink` is called on the thread that calls `run`, for each sink
    /// that is opened, with the settings as they are then.
    public init(
        live: LiveOptions,
        board: StatusBoard,
        stop: StopSignal,
        log: Logger,
        makeSink: @escaping @Sendable (any SinkSupervisor) throws -> any Sink
    ) {
        self.live = live
        frozen = Mutex(live.snapshot)
        self.board = board
        self.stop = stop
        self.log = log
        self.makeSink = makeSink
        slots = SlotMonitor(options: live.current, board: board, log: log)
        supervisor = TaskSupervisor(
            board: board,
            stop: stop,
            log: log,
            retryFor: { live.current.retryFor },
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

    /// Asks the run to stop; from here on it says that it does, also while it drains.
    ///
    /// May be called from any thread, and more than once.
    public func requestStop() {
        enter(.stopping)
        stop.request()
    }

    private func runAttempts() throws {
        var retry = RetryPolicy(limit: live.current.retryFor)
        var run = RunState()
        run.isResnapshotAsked = options.resnapshot
        var sink: (any Sink)?
        // The sink is closed before anybody else has the turn.
        defer { turn.end() }
        defer {
            abandonAddition(&run, sink: sink)
            if let sink { closeQuietly(sink) }
        }
        while !stop.isRequested {
            do {
                try takeOptions(&run, &sink)
                if !run.isChecked { enter(.checking) }
                if !turn.isHeld {
                    // Whoever has had the turn meanwhile has moved what this run knows of the sink.
                    try letGo(of: &sink, &run)
                    try takeTurn(&run, retry: &retry)
                }
                let control = try connect()
                if sink == nil { try watchSlot(run, on: control) }
                let ready = try sink ?? makeSink(supervisor)
                try prepare(ready, isNew: sink == nil, run: &run)
                sink = ready
                let ending = try attempt(sink: ready, run: &run, control: control, retry: &retry)
                if ending == .finished { return }
            } catch {
                supervisor.sinkFailed()
                slots.holdToBudget()
                // The server may take a moment to let go of the slot between two sessions.
                if (error as? WalrelayError)?.code != "slot.in_use" {
                    abandonAddition(&run, sink: sink)
                }
                // What a sink holds after a failure only the sink itself knows: it is opened anew
                // and says so. One that keeps no checkpoint has nothing to say.
                if let failed = sink, failed.keepsCheckpoint, run.addition == nil {
                    closeQuietly(failed)
                    sink = nil
                }
                if slots.isRaised {
                    log.debug("ended by what became of the slot: \(error)")
                } else if isOutdated, (error as? WalrelayError)?.exit == .refused {
                    // By decisions that a reload has taken back: the new ones are asked.
                    log.notice("looking again, by the settings reloaded: \(error)")
                } else {
                    try waitAfter(error, run, retry: &retry)
                }
                if let verdict = slots.verdict { try conclude(verdict, run) }
            }
        }
    }

    /// Takes the options that are in force for the attempt that begins.
    private func takeOptions(_ run: inout RunState, _ sink: inout (any Sink)?) throws {
        let now = live.snapshot
        frozen.withLock { $0 = now }
        let isOutdated = run.version != now.streamVersion
        if isOutdated { run.mayAdd = true }
        run.version = now.streamVersion
        // Other tables may have other names there.
        if isOutdated || run.mustReopen { try letGo(of: &sink, &run) }
        run.mustReopen = false
    }

    /// Gives up an addition, and what is known of a sink that can say it itself.
    private func letGo(of sink: inout (any Sink)?, _ run: inout RunState) throws {
        abandonAddition(&run, sink: sink)
        guard let former = sink, former.keepsCheckpoint else { return }
        sink = nil
        try former.close()
    }

    private func prepare(_ sink: any Sink, isNew: Bool, run: inout RunState) throws {
        if !isNew {
            try run.addition == nil ? sink.rollback() : sink.dropUnfinished()
            return
        }
        var checkpoint = try sink.open()
        if checkpoint == nil, sink.keepsCheckpoint, run.isSinkKnown,
            let known = run.checkpoint, known.goesOn
        {
            closeQuietly(sink)
            throw Self.checkpointGone(known)
        }
        // Nothing of it counts, and nobody saw any: it needs neither a slot nor its changes.
        if checkpoint?.hasCopied == false, !sink.showsUnfinishedSnapshots {
            checkpoint?.snapshotLSN = nil
        }
        if sink.keepsCheckpoint || run.checkpoint == nil { run.checkpoint = checkpoint }
        run.isSinkKnown = true
        run.misfit = nil
    }

    /// A sink that had this run's checkpoint and has none any more is not the sink that it was: a
    /// volume is not mounted, a broker does not know its topics yet, somebody has emptied it.
    ///
    /// A snapshot begun there by itself would leave the other one behind for ever.
    private static func checkpointGone(_ known: Checkpoint) -> WalrelayError {
        WalrelayError(
            "sink.checkpoint_gone",
            exit: .checkpointMismatch,
            "The sink had the task's checkpoint at \(known.position) and has none any more",
            hint: "look whether the directory, database or topic is the one that it was; where it "
                + "was emptied on purpose: walrelay teardown --config FILE, and run begins anew"
        )
    }

    /// Waits before the next attempt, or throws what no attempt will mend.
    private func waitAfter(
        _ error: any Error,
        _ run: RunState,
        retry: inout RetryPolicy
    ) throws {
        let cause = Self.walrelayError(error)
        var failure = cause
        if Self.mayPass(failure, run) { failure.isTransient = true }
        // The former daemon's process may be stopped, and not dead.
        if run.tookOver, failure.code == "sink.directory_in_use" { failure.isTransient = true }
        guard failure.isTransient, !stop.isRequested else {
            if stop.isRequested, failure.isTransient { throw CancellationError() }
            throw failure
        }
        retry.limit = live.current.retryFor
        var delay = try retry.delay(after: cause)
        if failure.code == "slot.in_use" { delay = min(delay, Self.slotPatience) }
        board.recordFailedAttempt(failure)
        board.update { $0.standby = nil }
        log.warning(
            "\(failure.message); trying again",
            metadata: Self.metadata(failure).merging(["phase": "reconnecting"]) { $1 }
        )
        let deadline = ContinuousClock.now + delay
        let version = live.snapshot.version
        // What was set anew may be what mends it.
        while ContinuousClock.now < deadline, !stop.isRequested, !slots.isRaised,
            live.snapshot.version == version
        {
            board.beat(.sink)
            stop.sleep(for: min(.seconds(1), deadline - .now))
        }
    }

    /// The longest wait for a slot, which somebody's end frees from one moment to the next.
    private static let slotPatience: Duration = .seconds(2)

    /// Whether an error may be that of a moment, and the task has been further before.
    ///
    /// Then it waits for the end of that; one that starts has wrong settings.
    private static func mayPass(_ error: WalrelayError, _ run: RunState) -> Bool {
        let isOfRenewal = error.code.hasPrefix("tls.") || renewalCodes.contains(error.code)
        let hasStreamed = run.tables != nil
        return isOfRenewal && run.hasWorkedOrStoodBy
            || hasStreamed && clusterCodes.contains(error.code)
            // The checkpoint was there in this run.
            || error.code == "sink.checkpoint_gone"
    }

    /// Of certificates or passwords that are renewed: a key is there before its certificate, the
    /// server has the new password before the file, one side trusts the new authority before the
    /// other.
    private static let renewalCodes = [
        "settings.secret_file", "source.tls", "source.login_refused", "sink.tls",
        "sink.tls_failed", "sink.login_refused",
    ]

    /// Of brokers that have just begun, and do not know of all topics yet; of the files of a
    /// certificate and its key, one of which is renewed already.
    private static let clusterCodes = [
        "sink.topics_unfit", "sink.topic_missing", "sink.property_malformed",
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
        default: WalrelayError(unforeseen: error)
        }
    }
}

/// What a run remembers from one attempt to the next.
struct RunState {
    /// The sink's checkpoint, as last committed.
    var checkpoint: Checkpoint?
    /// Whether the sink was opened in this turn, so that `checkpoint` is what it has.
    var isSinkKnown = false
    /// Where the run ends by itself, once it is known.
    var until: LSN?
    /// Whether the full check of the prerequisites has passed.
    var isChecked = false
    /// Whether this run has waited for another daemon's end.
    var hasStoodBy = false
    /// Whether the settings were right once, so that what is wrong now may mend itself.
    var hasWorkedOrStoodBy: Bool { isChecked || hasStoodBy }
    /// Whether a new snapshot is to be taken if checkpoint and source do not fit.
    var isResnapshotAsked = false
    /// Why that is due; then `checkpoint` is `nil`, whatever the sink has.
    var misfit: WalrelayError?
    /// Whether this run has taken the task over from another daemon.
    var tookOver = false
    /// Whether this run has begun a snapshot that is not whole in the sink.
    var isSnapshotUnfinished = false
    /// What the settings took when the stream was begun last.
    var tables: TableSelection?
    /// The tables that are copied beside the stream.
    var addition: TableAddition?
    /// Whether tables that are lacking are to be added: not after a fault, until the settings change.
    var mayAdd = true
    /// When that is tried again by itself.
    var addAgainAt: ContinuousClock.Instant?
    /// Whether the publication got tables that the slot is older than.
    var mustSettle = false
    /// The end of a transaction up to which the tables stay as they were.
    var partCommit: LSN?
    /// Whether the sink is to be opened anew, after a failure that did not end the task.
    var mustReopen = false
    /// Which settings the stream runs under.
    var version = 0
    /// Rings for batches, of the stream and of an addition.
    let arrived = Wakeup()
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
