// SPDX-License-Identifier: Apache-2.0
//
// The only caller of libpq. A connection belongs to one thread at a time and blocks only in
// poll(2), where a `StopSignal` ends the waiting. Whatever it returns is a copy; the bytes of
// COPY are lent for the length of a closure.

import CLibPQ
import Glibc

/// A connection to a server; closed when it goes out of scope.
public struct Connection: ~Copyable {
    let handle: OpaquePointer
    let stop: StopSignal?
    let beat: (@Sendable () -> Void)?
    /// How the server had us prove who we are; `nil` where that could not be seen.
    public private(set) var authentication: Authentication?
    /// Whether somebody else has the handle now.
    private var isHandedOver = false

    private init(
        owning handle: OpaquePointer,
        stop: StopSignal?,
        beat: (@Sendable () -> Void)?
    ) {
        self.handle = handle
        self.stop = stop
        self.beat = beat
    }

    deinit { if !isHandedOver { PQfinish(handle) } }

    /// Makes a connection; blocks for at most `parameters.connectTimeout`, looking up of names
    /// included.
    ///
    /// Throws `PostgresError` of kind `connect`, `timeout` or `interrupted`. With several hosts
    /// libpq tries them in turn and the time is shared by all of them. `beat` is called at least
    /// every second of a wait, for whoever has to see that waiting is not standing still.
    public static func open(
        _ parameters: ConnectionParameters,
        stop: StopSignal? = nil,
        beat: (@Sendable () -> Void)? = nil
    ) throws(PostgresError) -> Connection {
        guard !parameters.hasMalformedConninfo else { throw .malformedConninfo }
        let deadline = ContinuousClock.now + parameters.connectTimeout
        // All of it on one thread, since OpenSSL and SessionTrace keep things by thread.
        let made = try UnboundedCall.answer(until: deadline + grace, stop: stop, beat: beat) {
            Result { () throws(PostgresError) in
                try makeHandle(parameters, until: deadline, stop: stop)
            }
        } cleanUp: { made in
            if case .success(let made) = made { PQfinish(made.handle) }
        }.get()
        guard let handle = made.handle else {
            throw PostgresError(kind: .connect, message: "libpq is out of memory")
        }
        var connection = Connection(owning: handle, stop: stop, beat: beat)
        connection.authentication = made.authentication
        try connection.boundSession()
        return connection
    }

    /// What a wait of the thread that connects may be late by; it knows best what to say.
    private static let grace: Duration = .milliseconds(200)

    /// A handle on its way from the thread that has made it.
    private struct MadeHandle: Sendable {
        // The address alone: whoever has this value is the only one to use it.
        let address: UInt
        let authentication: Authentication?

        var handle: OpaquePointer? { OpaquePointer(bitPattern: address) }
    }

    /// Connects and logs in; blocks, longer than until the deadline only while a name is looked up.
    private static func makeHandle(
        _ parameters: ConnectionParameters,
        until deadline: ContinuousClock.Instant,
        stop: StopSignal?
    ) throws(PostgresError) -> MadeHandle {
        let parameters = try parameters.refreshed()
        let files = try parameters.tlsFiles()
        guard let handle = begin(parameters.effectiveKeywords + files.keywords) else {
            throw PostgresError(kind: .connect, message: "libpq is out of memory")
        }
        var connection = Connection(owning: handle, stop: stop, beat: nil)
        // libpq keeps the SQLSTATE of a refused login only in the text, and only a verbose one.
        PQsetErrorVerbosity(handle, PQERRORS_VERBOSE)
        PQsetNoticeProcessor(handle, { _, _ in }, nil)
        do {
            try connection.finishConnecting(until: deadline)
        } catch {
            throw files.explaining(error)
        }
        // libpq opens them once for each host that it tries.
        withExtendedLifetime(files) {}
        PQsetErrorVerbosity(handle, PQERRORS_DEFAULT)
        // In blocking mode libpq waits for a full socket by itself, where no stop reaches it.
        PQsetnonblocking(handle, 1)
        connection.isHandedOver = true
        return MadeHandle(
            address: UInt(bitPattern: handle),
            authentication: connection.authentication
        )
    }

    private static func begin(_ keywords: [(String, String)]) -> OpaquePointer? {
        var names = keywords.map { strdup($0.0).map { UnsafePointer($0) } }
        var values = keywords.map { strdup($0.1).map { UnsafePointer($0) } }
        names.append(nil)
        values.append(nil)
        defer {
            for pointer in names + values { free(UnsafeMutablePointer(mutating: pointer)) }
        }
        return PQconnectStartParams(names, values, 1)
    }

    private mutating func finishConnecting(
        until deadline: ContinuousClock.Instant
    ) throws(PostgresError) {
        var state = PGRES_POLLING_WRITING
        var watch = LoginWatch()
        if PQstatus(handle) == CONNECTION_BAD { throw startError() }
        while state != PGRES_POLLING_OK {
            if state == PGRES_POLLING_FAILED { throw connectError(watch) }
            let events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT
            try wait(for: Int16(events), until: deadline)
            watch.look(at: handle)
            state = PQconnectPoll(handle)
        }
        authentication = watch.authentication
    }

    /// The server's version as libpq gives it: 150018 for 15.18.
    public var serverVersion: Int { Int(PQserverVersion(handle)) }

    /// The process id of the server's backend.
    public var backendPID: Int { Int(PQbackendPID(handle)) }

    /// The socket, for poll(2); -1 once the connection is lost.
    public var socket: Int32 { PQsocket(handle) }

    /// A setting that the server reports, such as `server_encoding`.
    public func parameterStatus(_ name: String) -> String? {
        PQparameterStatus(handle, name).map { String(cString: $0) }
    }

    /// Whether a transaction is open, be it well or failed.
    public var isInTransaction: Bool {
        [PQTRANS_INTRANS, PQTRANS_INERROR].contains(PQtransactionStatus(handle))
    }

    /// Runs a statement, or several, by the simple protocol and returns the last one's rows.
    ///
    /// Blocks until the answer is whole; `limit` bounds that, and a statement that runs out of
    /// time or is interrupted is cancelled on the server. The connection is of no use after that.
    @discardableResult
    public func query(
        _ statement: String,
        within limit: Duration = .seconds(60)
    ) throws(PostgresError) -> QueryResult {
        guard PQsendQuery(handle, statement) == 1 else { throw lostError() }
        return try lastResult(until: .now + limit)
    }

    /// Runs one statement with parameters; not possible on a replication connection.
    @discardableResult
    public func query(
        _ statement: String,
        parameters: [String?],
        within limit: Duration = .seconds(60)
    ) throws(PostgresError) -> QueryResult {
        let copies = parameters.map { value in value.flatMap { strdup($0) } }
        defer { for pointer in copies { free(pointer) } }
        let values = copies.map { $0.map { UnsafePointer($0) } }
        let sent = PQsendQueryParams(
            handle,
            statement,
            Int32(values.count),
            nil,
            values,
            nil,
            nil,
            0
        )
        guard sent == 1 else { throw lostError() }
        return try lastResult(until: .now + limit)
    }

    func lastResult(
        until deadline: ContinuousClock.Instant
    ) throws(PostgresError)
        -> QueryResult
    {
        var last: OpaquePointer?
        defer { PQclear(last) }
        var failure: PostgresError?
        while let result = try nextResult(until: deadline) {
            switch PQresultStatus(result) {
            case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
                failure = failure ?? error(of: result)
                PQclear(result)
            case PGRES_COPY_BOTH, PGRES_COPY_OUT, PGRES_COPY_IN:
                return QueryResult(owning: result)
            default:
                PQclear(last)
                last = result
            }
        }
        if let failure { throw failure }
        guard let whole = last.take() else { throw lostError() }
        return QueryResult(owning: whole)
    }

    /// The next result of the running statement, `nil` after the last.
    func nextResult(
        until deadline: ContinuousClock.Instant
    ) throws(PostgresError)
        -> OpaquePointer?
    {
        try flush(until: deadline)
        while PQisBusy(handle) == 1 {
            do {
                try wait(for: Int16(POLLIN), until: deadline)
            } catch {
                cancel()
                throw error
            }
            guard PQconsumeInput(handle) == 1 else { throw lostError() }
        }
        return PQgetResult(handle)
    }

    func flush(until deadline: ContinuousClock.Instant) throws(PostgresError) {
        while true {
            switch PQflush(handle) {
            case 0: return
            case 1: try wait(for: Int16(POLLOUT | POLLIN), until: deadline)
            default: throw lostError()
            }
            guard PQconsumeInput(handle) == 1 else { throw lostError() }
        }
    }

    /// Asks the server to give up the running statement; blocks for one round trip, at most 1 s.
    public func cancel() {
        guard let cancel = PQgetCancel(handle) else { return }
        // PQcancel makes a connection of its own and has no time limit: a server that has gone
        // silent, the very reason for most cancels, would hold whoever waits for it.
        let request = CancelRequest(cancel)
        startThread(named: "cancel") { request.send() }
        request.sent.wait(for: .seconds(1))
    }

    /// Waits until the socket is ready, the deadline passes or a stop is requested.
    func wait(for events: Int16, until deadline: ContinuousClock.Instant) throws(PostgresError) {
        while true {
            guard socket >= 0 else { throw lostError() }
            let left = deadline - .now
            guard left > .zero else {
                throw PostgresError(kind: .timeout, message: "no answer within the time limit")
            }
            var set = [
                pollfd(fd: socket, events: events, revents: 0),
                pollfd(fd: stop?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
            ]
            let patience = beat == nil ? left : min(left, .seconds(1))
            let ready = poll(&set, 2, patience.pollMilliseconds)
            beat?()
            if set[1].revents != 0, stop?.isRequested == true {
                throw PostgresError(kind: .interrupted, message: "stopped")
            }
            if ready > 0 || (ready < 0 && errno != EINTR) { return }
        }
    }
}

/// A request to cancel a statement, sent on a thread of its own.
private final class CancelRequest: Sendable {
    let sent = Wakeup()
    // Only `send` touches what this points to, once; the address is all that crosses threads.
    private let address: UInt

    init(_ cancel: OpaquePointer) {
        address = UInt(bitPattern: cancel)
    }

    func send() {
        guard let cancel = OpaquePointer(bitPattern: address) else { return }
        var message = [CChar](repeating: 0, count: 256)
        _ = PQcancel(cancel, &message, Int32(message.count))
        PQfreeCancel(cancel)
        sent.ring()
    }
}
