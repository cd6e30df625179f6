// SPDX-License-Identifier: Apache-2.0
//
// Bounds what FlyingFox leaves open: how long a client may keep silent, and how many clients may
// wait at once. Without it, connections that are opened and never used would pile up for as long as
// the daemon lives. A connection that meets a bound is closed without a reply.

import FlyingSocks
import Glibc
import Synchronization

/// A socket pool in which clients wait for a bounded time and in bounded number.
final class BoundedSocketPool<Base: AsyncSocketPool>: AsyncSocketPool {
    private let base: Base
    private let waitLimit: Duration
    private let clientLimit: Int
    private let waiting = Mutex(0)

    init(_ base: Base, waitLimit: Duration = .seconds(10), clientLimit: Int = 64) {
        self.base = base
        self.waitLimit = waitLimit
        self.clientLimit = clientLimit
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
            guard count < clientLimit else { throw SocketError.disconnected }
            count += 1
        }
        defer { waiting.withLock { $0 -= 1 } }
        let base = base
        let waitLimit = waitLimit
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
