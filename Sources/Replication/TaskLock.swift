// SPDX-License-Identifier: Apache-2.0
//
// One task, one daemon: an advisory lock on the source, keyed by the task's name, held by a session
// of its own for as long as a run works. A slot cannot tell as much: while a snapshot is taken it
// is inactive, or not there yet. The lock writes nothing, needs no right and goes with its session.
//
// Whoever holds it is heard from every few seconds, and the two sides give up in this order, so
// that a holder that was paused or cut off knows that it has lost the lock before anybody else has
// it:
//
//   last answer ── 45 s ──▶ the holder counts it as lost ── 60 s ──▶ the server ends the session
//
// A session that ends takes the lock with it, and need not take the task: what is streamed is held
// by the slot as well, and a server that shuts down waits until its walsenders have brought all
// there is. So the lock is asked for anew, and is ours until somebody else has it, or the 45 s are
// over.

public import ChangeModel
import Glibc
public import LibPQ
import Synchronization

/// Who holds a task's lock, as far as the source shows it.
public struct TaskHolder: Sendable, Codable, Equatable {
    /// The source's process that serves the session.
    public var pid: Int
    /// The session's name, such as `walrelay/orders lock`.
    public var applicationName: String
    /// Where the session comes from; `nil` for a Unix socket, and where the role may not see it.
    public var clientAddress: String?
    /// When the session began, in seconds as the source writes them; `nil` where the role may not
    /// see it.
    var began: String?

    /// Whether it is another session than the one that began then: a server that was restarted
    /// gives its processes the same numbers again.
    public func isOther(than session: TaskLock.Session) -> Bool {
        pid != session.pid || began != nil && began != session.began
    }

    private enum CodingKeys: CodingKey {
        case pid, applicationName, clientAddress
    }

    /// Creates a holder.
    public init(pid: Int, applicationName: String, clientAddress: String?) {
        self.pid = pid
        self.applicationName = applicationName
        self.clientAddress = clientAddress
    }

    /// `walrelay/orders lock from 10.0.0.5 (pid 4711 of the source)`.
    public var text: String {
        let name = applicationName.isEmpty ? "a session" : applicationName
        let address = clientAddress.map { " from \($0)" } ?? ""
        return "\(name)\(address) (pid \(pid) of the source)"
    }

    /// Encodes every key, an unknown address as null.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(pid, forKey: .pid)
        try container.encode(applicationName, forKey: .applicationName)
        try container.encode(clientAddress, forKey: .clientAddress)
    }
}

/// The lock of a task: asked for until it is had, then kept until it is released or lost.
public final class TaskLock: Sendable {
    /// How often the server is asked, and after which silence each side gives the lock up.
    public struct Pace: Sendable {
        /// Between two attempts to take the lock.
        public var attempt: Duration = .seconds(1)
        /// Between two signs of life of a holder.
        public var sign: Duration = .seconds(5)
        /// How long the answer to one may take.
        public var answer: Duration = .seconds(30)
        /// After which silence a holder counts the lock as lost.
        public var lease: Duration = .seconds(45)
        /// After which silence the server ends the session; has to be longer than the lease.
        public var server: Duration = .seconds(60)

        /// The pace of a daemon.
        public init() {}
    }

    /// A session of ours.
    public struct Session: Sendable, Equatable {
        /// The source's process that serves it.
        var pid: Int
        /// When it began, as in `TaskHolder`.
        var began: String
    }

    /// When the session of a row `a` of pg_stat_activity began.
    static let began = "pg_catalog.date_part('epoch', a.backend_start)"

    /// What is known of the lock.
    public enum State: Sendable {
        /// The server was not asked yet.
        case asking
        /// Somebody else has it; `nil` where that session ended while it was looked for.
        case held(by: TaskHolder?)
        /// It is ours, held by this session.
        case ours(Session)
        /// It cannot be asked for, or was ours and is not any more.
        case lost(WalrelayError)
    }

    private let task: String
    private let parameters: ConnectionParameters
    private let pace: Pace
    private let known = Mutex<(state: State, at: ContinuousClock.Instant)>((.asking, .now))
    private let changed = Wakeup()
    /// Asks for the lock to be given back.
    private let released = StopSignal()
    /// Asks for the session to be left as it is.
    private let abandoned = StopSignal()
    private let ended = Wakeup()

    /// Begins to ask for the lock, on a thread of its own.
    public init(task: String, parameters: ConnectionParameters, pace: Pace = Pace()) {
        (self.task, self.parameters, self.pace) = (task, parameters.for(.lock), pace)
        startThread(named: "lock") { [self] in
            run()
            ended.ring()
        }
    }

    /// What is known of the lock at this moment.
    public var state: State {
        let (state, time) = known.withLock { $0 }
        guard case .ours = state, ContinuousClock.now - time > pace.lease else { return state }
        return .lost(
            lost(PostgresError(kind: .timeout, message: "no answer for \(pace.lease)"))
        )
    }

    /// Waits for news of the lock, for `limit` at most; blocks.
    public func wait(for limit: Duration) { changed.wait(for: limit) }

    /// Gives the lock back, or stops asking for it; without effect the second time.
    ///
    /// Blocks, at most 2 s: somebody else can have the lock when this returns, unless the server
    /// does not answer.
    public func release() {
        guard !released.isRequested else { return }
        released.request()
        guard !ended.wait(for: .seconds(1)) else { return }
        abandoned.request()
        ended.wait(for: .seconds(1))
    }

    private static let firstAttempts = 5
    private static let firstPause: Duration = .milliseconds(100)

    private func set(_ state: State, at time: ContinuousClock.Instant = .now) {
        known.withLock { $0 = (state, time) }
        changed.ring()
    }

    /// Asks and holds, on one session after another.
    private func run() {
        var pause = Self.firstPause
        while !released.isRequested {
            do {
                try hold()
            } catch let failure as WalrelayError {
                return set(.lost(failure))
            } catch {
                guard case .ours = state else { return set(.lost(lost(error))) }
                released.sleep(for: pause)
                pause = pace.attempt
            }
        }
    }

    /// The error of a session that ended; of one that had the lock it is always worth a retry.
    private func lost(_ error: any Error) -> WalrelayError {
        let wasOurs = if case .ours = known.withLock({ $0.state }) { true } else { false }
        let action = wasOurs ? "holding the task's lock on the source" : "connecting to the source"
        let cause =
            error as? PostgresError
            ?? PostgresError(kind: .connectionLost, message: "\(error)")
        var failure = WalrelayError(cause, while: "\(action) \(parameters.destination)")
        if wasOurs, !failure.isTransient {
            (failure.code, failure.exit) = ("source.unreachable", .unreachable)
            failure.isTransient = true
        }
        return failure
    }

    private func takenOver(by holder: TaskHolder) -> WalrelayError {
        WalrelayError(
            "task.taken_over",
            exit: .unreachable,
            "The session that held the lock of the task \(task) has ended, and another daemon has "
                + "taken the task over: \(holder.text)",
            hint: "nothing has to be mended: this one waits as its standby",
            isTransient: true
        )
    }

    /// Asks and holds on one session.
    private func hold() throws {
        let connection = try Connection.open(parameters, stop: abandoned)
        // Before anything that a server too old for us would answer with a puzzle.
        let version = Prerequisites.version(connection.serverVersion)
        if let failure = Prerequisites.firstFailure([version]) { throw failure }
        try bound(connection)
        let session = try Session(of: connection)
        var refusals = 0
        while !released.isRequested {
            if refusals > 0 { try renew(connection) }
            guard let refusal = try Self.take(task, on: connection) else {
                set(.ours(session))
                try keep(connection, session)
                continue
            }
            refusals += 1
            switch state {
            case .ours(let former):
                // The server may not have noticed yet that our own former session is gone.
                if let holder = refusal.holder, holder.isOther(than: former) {
                    throw takenOver(by: holder)
                }
            case .lost(let failure): throw failure
            case .asking, .held:
                // The session of a daemon that has just ended may be there for a moment longer.
                if refusals >= Self.firstAttempts { set(.held(by: refusal.holder)) }
            }
            released.sleep(
                for: refusals < Self.firstAttempts ? Self.firstPause : pace.attempt
            )
        }
    }

    /// Gives signs of life until the lock is to be given back.
    private func keep(
        _ connection: borrowing Connection,
        _ session: Session
    ) throws(PostgresError) {
        let sign = connection.serverVersion >= 140_000 ? "SELECT 1" : "COMMIT; BEGIN"
        while !released.isRequested {
            // An end of the session shows at once: the socket becomes readable.
            var set = [
                pollfd(fd: connection.socket, events: Int16(POLLIN), revents: 0),
                pollfd(fd: released.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&set, 2, pace.sign.pollMilliseconds)
            guard !released.isRequested else { break }
            let asked = ContinuousClock.now
            try connection.query(sign, within: pace.answer)
            self.set(.ours(session), at: asked)
        }
        try Self.giveBack(task, on: connection)
    }

    /// Has the server end the session when nothing is heard from it, which is what TCP cannot tell
    /// of a process that is stopped and not dead.
    ///
    /// Before 14 only a transaction's silence is bounded: one is open between two signs of life,
    /// never longer, and without a snapshot or a number it is in nobody's way.
    private func bound(_ connection: borrowing Connection) throws(PostgresError) {
        let limit = pace.server.pollMilliseconds
        try connection.query(
            connection.serverVersion >= 140_000
                ? "SET idle_session_timeout = \(limit)"
                : "SET idle_in_transaction_session_timeout = \(limit); COMMIT; BEGIN"
        )
    }

    /// A transaction that lasts as long as the wait would hold the catalog's locks, and see the
    /// sessions of its beginning only.
    private func renew(_ connection: borrowing Connection) throws(PostgresError) {
        if connection.serverVersion < 140_000 { try connection.query("COMMIT; BEGIN") }
    }
}

extension TaskLock.Session {
    init(of connection: borrowing Connection) throws(PostgresError) {
        pid = connection.backendPID
        began = try connection.query(
            "SELECT \(TaskLock.began) FROM pg_catalog.pg_stat_activity a "
                + "WHERE a.pid = pg_catalog.pg_backend_pid()"
        ).text(0, 0)
    }
}

extension TaskLock {
    /// That somebody else has the lock.
    public struct Refusal: Sendable {
        /// Who; `nil` where that session ended while it was looked for.
        public var holder: TaskHolder?
    }

    /// Takes the lock for the connection's session; `nil` where it is ours now.
    ///
    /// Blocks for the answers.
    public static func take(
        _ task: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> Refusal? {
        let key = key(of: task)
        let answer = try connection.query("SELECT pg_catalog.pg_try_advisory_lock(\(key))")
        if answer.flag(0, 0) { return nil }
        return Refusal(holder: try holder(of: task, on: connection))
    }

    /// Who has the lock on the connection's server; `nil` where nobody has.
    ///
    /// Blocks for the answer.
    public static func holder(
        of task: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> TaskHolder? {
        let database = try connection.query("SELECT pg_catalog.current_database()").text(0, 0)
        return try TaskHolders(on: connection).holder(of: task, in: database)
    }

    /// Gives back a lock that the connection's session has taken; blocks for the answer.
    public static func giveBack(
        _ task: String,
        on connection: borrowing Connection
    ) throws(PostgresError) {
        try connection.query("SELECT pg_catalog.pg_advisory_unlock(\(key(of: task)))")
    }

    /// The refusal, exit 77, to take away what a running task needs.
    public static func running(_ task: String, _ holder: TaskHolder?) -> WalrelayError {
        WalrelayError(
            "task.running",
            exit: .prerequisite,
            "The task \(task) is running: \(holder?.text ?? "a session of the source")",
            hint: "stop it first, and its standby: systemctl stop walrelay@\(task)"
        )
    }

    /// The lock's key: FNV-1a of `walrelay/<task>`, the same in every version of walrelay.
    static func key(of task: String) -> Int64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in "walrelay/\(task)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return Int64(bitPattern: hash)
    }
}
