// SPDX-License-Identifier: Apache-2.0
//
// How a thread of ours waits: always in poll(2), always with a bound, and always so that somebody
// else can end the waiting.

import CLibPQ
import Glibc
import Synchronization

/// A doorbell: one thread rings, another that polls wakes up.
///
/// Backed by eventfd(2).
public final class Wakeup: Sendable {
    /// Readable while the bell has rung and nobody has cleared it.
    public let descriptor: Int32

    /// Creates a doorbell that has not rung.
    ///
    /// A process without a free file descriptor cannot go on, so that is a trap.
    public init() {
        descriptor = walrelay_eventfd()
        precondition(descriptor >= 0, "eventfd: no file descriptor left")
    }

    deinit { close(descriptor) }

    /// Wakes whoever waits; safe from any thread and from a signal handler.
    public func ring() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    /// Makes the bell silent again.
    public func clear() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
    }

    /// Waits until the bell rings or the time is over; clears it.
    ///
    /// Blocks the thread.
    @discardableResult
    public func wait(for limit: Duration) -> Bool {
        var set = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
        let rang = poll(&set, 1, limit.pollMilliseconds) > 0
        if rang { clear() }
        return rang
    }
}

/// The wish that everything stops; once made it stays.
public final class StopSignal: Sendable {
    private let requested = Atomic<Bool>(false)
    private let wakeup = Wakeup()

    /// A signal that nobody has given.
    public init() {}

    /// Whether somebody asked to stop.
    public var isRequested: Bool { requested.load(ordering: .acquiring) }

    /// Readable from the moment of the request on.
    public var descriptor: Int32 { wakeup.descriptor }

    /// Asks everything to stop.
    public func request() {
        requested.store(true, ordering: .releasing)
        wakeup.ring()
    }

    /// Sleeps; returns early, with true, when a stop is requested.
    ///
    /// Blocks the thread.
    @discardableResult
    public func sleep(for limit: Duration) -> Bool {
        guard !isRequested else { return true }
        var set = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
        _ = poll(&set, 1, limit.pollMilliseconds)
        return isRequested
    }
}

extension Duration {
    /// Whole milliseconds for poll(2), rounded up so that a short wait is not a busy loop.
    package var pollMilliseconds: Int32 {
        let (seconds, attoseconds) = components
        guard seconds < 2_000_000 else { return Int32.max }
        let perMillisecond: Int64 = 1_000_000_000_000_000
        let milliseconds = seconds * 1000 + (attoseconds + perMillisecond - 1) / perMillisecond
        return Int32(clamping: max(0, milliseconds))
    }
}

/// Runs blocking work on a thread of its own and awaits its end.
///
/// libpq and files block; the cooperative pool must not. There is no cancellation here: hand the
/// body a `StopSignal`. The thread ends with the body.
public func onOwnThread<Result: Sendable>(
    named name: String,
    _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        startThread(named: name) {
            continuation.resume(with: Swift.Result { try body() })
        }
    }
}

/// Starts a detached thread that runs `body` once.
public func startThread(named name: String, _ body: @escaping @Sendable () -> Void) {
    let start = Unmanaged.passRetained(ThreadStart(name: name, body: body))
    // Not made by `pthread_attr_t()`: which of the C modules that include the type is taken for the
    // owner of that initializer depends on the order in which they are loaded.
    let attributes = UnsafeMutablePointer<pthread_attr_t>.allocate(capacity: 1)
    defer { attributes.deallocate() }
    pthread_attr_init(attributes)
    pthread_attr_setdetachstate(attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(attributes, 1 << 20)
    var thread = pthread_t()
    let failure = pthread_create(
        &thread,
        attributes,
        { argument in
            guard let argument else { return nil }
            let start = Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
            walrelay_name_thread(start.name)
            start.body()
            return nil
        },
        start.toOpaque()
    )
    pthread_attr_destroy(attributes)
    precondition(failure == 0, "pthread_create: no thread left")
}

private final class ThreadStart: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}
