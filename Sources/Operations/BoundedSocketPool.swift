// SPDX-License-Identifier: Apache-2.0
//
// Bounds what FlyingFox leaves open: how long a client may keep silent, and how many clients may
// wait at once. Without it, connections that are opened and never used would pile up for as long as
// the daemon lives. A connection that meets a bound is closed without a reply.

import FlyingSocks
import Glibc
import Synchronization

/// How long a client may keep silent, and how many may do so at once.
struct ClientLimits: Sendable {
    /// Longer than a monitor's interval would only keep sockets; a client connects anew.
    var wait: Duration = .seconds(10)
    var count = 64
}

/// A socket pool in which clients wait for a bounded time and in bounded number.
final class BoundedSocketPool<Base: AsyncSocketPool>: AsyncSocketPool {
    private let base: Base
    private let limits: ClientLimits
    private let waiting = Mutex(0)

    init(_ base: Base, limits: ClientLimits) {
        self.base = base
        self.limits = limits
    }

    func prepare() async throws {
        try await base.prepare()
    }

    func run() async throws {
        try await base.run()
    }

    func suspendSocket(_ socket: Socket, untilReadyFor events: Socket.Events) async throws {
        guard !Self.isListening(socket) else {
            return try await base.suspendSocket(socket, untilReadyFor: events)
        }
        try waiting.withLock { count in
            guard count < limits.count else { throw SocketError.disconnected }
            count += 1
        }
        defer { waiting.withLock { $0 -= 1 } }
        let base = base
        let waitLimit = limits.wait
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await base.suspendSocket(socket, untilReadyFor: events) }
            group.addTask {
                try await Task.sleep(for: waitLimit)
                throw SocketError.disconnected
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private static func isListening(_ socket: Socket) -> Bool {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        let result = getsockopt(
            socket.file.rawValue,
            SOL_SOCKET,
            SO_ACCEPTCONN,
            &value,
            &length
        )
        return result == 0 && value != 0
    }
}
