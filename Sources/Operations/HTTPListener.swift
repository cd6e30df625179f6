// SPDX-License-Identifier: Apache-2.0
//
// All clients of the HTTP server on one thread, in one poll(2). Their number, what they may send
// and take, and how long they take for it are bounded; whoever comes when all places are taken gets
// the place whose time is up first. So a probe is answered at once, however many clients keep
// silent, and those are told 503.

import Glibc
import LibPQ

/// Accepts clients on one socket and answers them.
struct HTTPListener {
    /// Clients at once: a few monitors and browsers need ten, and a process has 1024 descriptors.
    static let clientLimit = 64
    /// Connections that are accepted before clients who are there have their turn again.
    private static let acceptLimit = 16
    /// Without a free descriptor the queue of connections would wake the loop for nothing.
    private static let acceptPause: Duration = .milliseconds(100)
    /// Time that replies under way get at the end.
    private static let drainLimit: Duration = .milliseconds(500)

    private let socket: ListeningSocket
    private let times: HTTPTimes
    private let clientLimit: Int
    private let answer: (HTTPRequest) -> HTTPReply
    private var clients: [HTTPClient] = []
    private var acceptsFrom = ContinuousClock.now

    init(
        _ socket: ListeningSocket,
        times: HTTPTimes,
        clientLimit: Int = Self.clientLimit,
        answer: @escaping (HTTPRequest) -> HTTPReply
    ) {
        self.socket = socket
        self.times = times
        self.clientLimit = clientLimit
        self.answer = answer
    }

    /// Serves until the stop is requested; blocks.
    mutating func run(until stop: StopSignal) {
        while !stop.isRequested {
            let isPausing = acceptsFrom > .now
            let hasConnections = wait(
                [stop.descriptor, isPausing ? -1 : socket.descriptor],
                until: isPausing ? acceptsFrom : nil
            )
            if hasConnections { accept() }
        }
        let end = ContinuousClock.now + Self.drainLimit
        while true {
            clients.removeAll { !$0.isWriting }
            guard !clients.isEmpty, .now < end else { return }
            wait([], until: end)
        }
    }

    /// Waits for a client, one of the descriptors, or a deadline, and serves the clients.
    ///
    /// Returns whether the last of the descriptors is ready.
    @discardableResult
    private mutating func wait(
        _ descriptors: [Int32],
        until end: ContinuousClock.Instant?
    ) -> Bool {
        var set =
            (clients.map { ($0.descriptor, $0.events) } + descriptors.map { ($0, Int16(POLLIN)) })
            .map { pollfd(fd: $0.0, events: $0.1, revents: 0) }
        let next = (clients.map(\.deadline) + (end.map { [$0] } ?? [])).min()
        let wait = next.map { max($0 - .now, .zero).pollMilliseconds } ?? -1
        let limit = clients.contains(where: \.isReady) ? 0 : wait
        guard poll(&set, nfds_t(set.count), limit) >= 0 else {
            // EINTR; or the kernel has no memory for the wait, and may have it a moment later.
            if errno != EINTR { usleep(10_000) }
            return false
        }
        let now = ContinuousClock.now
        for (client, entry) in zip(clients, set) {
            // First the time: whoever always has one more byte to send would never be late.
            if client.deadline <= now {
                client.expire()
            } else if entry.revents != 0 || client.isReady {
                serve(client)
            }
        }
        clients.removeAll(where: \.isOver)
        return !descriptors.isEmpty && set[set.count - 1].revents != 0
    }

    private func serve(_ client: HTTPClient) {
        client.advance(answer: answer)
        while true {
            let writers = clients.filter(\.isWriting)
            let bytes = writers.reduce(0) { $0 + $1.replyBytes }
            guard bytes > HTTPLimits.replyBytes, writers.count > 1,
                let first = writers.min(by: { $0.deadline < $1.deadline })
            else { return }
            first.makeRoom()
        }
    }

    private mutating func accept() {
        for _ in 0..<Self.acceptLimit {
            let descriptor = Glibc.accept(socket.descriptor, nil, nil)
            guard descriptor >= 0 else {
                switch errno {
                case EAGAIN: return
                case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                    acceptsFrom = .now + Self.acceptPause
                    return
                // The connection ended before it was taken, or has an error of its own.
                default: continue
                }
            }
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            if clients.count >= clientLimit,
                let first = clients.indices.min(by: { clients[$0].deadline < clients[$1].deadline })
            {
                clients.remove(at: first).makeRoom()
            }
            let client = HTTPClient(descriptor: descriptor, times: times)
            clients.append(client)
            // Most have sent their request by now.
            serve(client)
            clients.removeAll(where: \.isOver)
        }
    }
}
