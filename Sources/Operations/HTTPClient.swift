// SPDX-License-Identifier: Apache-2.0
//
// One connection: it reads a request, sends the reply, and so on, or takes leave. Never blocks:
// each call does what can be done at once, and says for what the connection then waits, and until
// when.
//
//   reading ─ request ─▶ writing ─ sent ─▶ reading
//      └──── refusal ──▶ writing ─ sent ─▶ leaving ─ the client closes, or a second ─▶ over

import Glibc

/// How long a client may take; the tests have less time.
struct HTTPTimes: Sendable {
    /// For a whole request, from the connection's or the last reply's moment on, and again for
    /// taking the reply, however steadily bytes trickle.
    var exchange: Duration = .seconds(10)
    /// For seeing the last reply and closing.
    ///
    /// A socket that is closed over bytes that were not read resets the connection, and the reply
    /// would be lost on its way.
    var leave: Duration = .seconds(1)
}

/// A client that is connected; closes its socket when it goes.
final class HTTPClient {
    private enum State {
        case reading
        case writing
        case leaving
        case over
    }

    private static let chunkBytes = 4096

    let descriptor: Int32
    /// When what it does now must be done.
    private(set) var deadline: ContinuousClock.Instant
    private let times: HTTPTimes
    private var state = State.reading
    private var reader = HTTPRequestReader()
    private var served = 0
    private var reply: [UInt8] = []
    private var sent = 0
    private var isLastReply = false

    /// Takes over the socket of a connection that was accepted.
    init(descriptor: Int32, times: HTTPTimes) {
        self.descriptor = descriptor
        self.times = times
        deadline = .now + times.exchange
    }

    deinit { close(descriptor) }

    var isOver: Bool { state == .over }
    var isWriting: Bool { state == .writing }
    /// Bytes of memory that its reply takes until it is sent.
    var replyBytes: Int { reply.count }
    /// Whether it can go on without waiting: it has sent a further request before the reply.
    var isReady: Bool { state == .reading && reader.hasMore }
    /// What poll(2) is to wait for.
    var events: Int16 { Int16(state == .writing ? POLLOUT : POLLIN) }

    /// Does what can be done without waiting, up to one reply: then others have their turn.
    func advance(answer: (HTTPRequest) -> HTTPReply) {
        var goesOn = true
        while goesOn {
            goesOn =
                switch state {
                case .reading: read(answer)
                case .writing: write()
                case .leaving: discard()
                case .over: false
                }
        }
    }

    /// The time for what it does is over.
    func expire() {
        if state == .reading, !reader.isEmpty {
            refuse(.tooSlow)
        } else {
            abandon()
        }
    }

    /// Ends at once, for want of room; one that still waits for its first reply is told so.
    func makeRoom() {
        if state == .reading, served == 0 || !reader.isEmpty {
            refuse(.tooMany)
            _ = write()
        }
        abandon()
    }

    /// Ends without waiting for what the client has yet to take, which the kernel would keep, and
    /// offer, for minutes.
    private func abandon() {
        if state == .writing {
            var reset = linger(l_onoff: 1, l_linger: 0)
            let length = socklen_t(MemoryLayout<linger>.size)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, length)
        }
        state = .over
    }

    private func read(_ answer: (HTTPRequest) -> HTTPReply) -> Bool {
        do {
            if let request = try reader.next() {
                served += 1
                let isLast = request.isLast || served == HTTPLimits.requestsPerConnection
                begin(answer(request), withBody: request.method != "HEAD", isLast: isLast)
                return true
            }
        } catch {
            refuse(error)
            return true
        }
        switch receive(reader.room, take: { reader.append($0) }) {
        case .some: return true
        case .nothingYet: return false
        case .end where reader.isEmpty, .broken:
            state = .over
            return false
        case .end:
            refuse(.malformed("the request ends early"))
            return true
        }
    }

    private func refuse(_ refusal: HTTPRefusal) {
        begin(.text(refusal.code, refusal.reason), withBody: true, isLast: true)
    }

    private func begin(_ reply: HTTPReply, withBody: Bool, isLast: Bool) {
        self.reply = reply.bytes(withBody: withBody, isLast: isLast)
        sent = 0
        isLastReply = isLast
        state = .writing
        deadline = .now + times.exchange
    }

    private func write() -> Bool {
        let count = reply[sent...].withUnsafeBytes {
            send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        }
        guard count >= 0 else {
            if errno == EINTR { return true }
            if errno != EAGAIN { state = .over }
            return false
        }
        sent += count
        guard sent == reply.count else { return true }
        (reply, sent) = ([], 0)
        if isLastReply {
            shutdown(descriptor, Int32(SHUT_WR))
            state = .leaving
            deadline = .now + times.leave
        } else {
            state = .reading
            deadline = .now + times.exchange
        }
        return !isReady
    }

    /// Throws away a part of what a client still sends that has had its last reply.
    private func discard() -> Bool {
        switch receive(Self.chunkBytes, take: { _ in }) {
        case .some, .nothingYet: break
        case .end, .broken: state = .over
        }
        return false
    }

    private enum Received {
        case some
        case nothingYet
        case end
        case broken
    }

    private func receive(_ limit: Int, take: (UnsafeRawBufferPointer) -> Void) -> Received {
        withUnsafeTemporaryAllocation(byteCount: min(limit, Self.chunkBytes), alignment: 1) {
            buffer in
            let count = recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                return .some
            }
            if count == 0 { return .end }
            return errno == EINTR ? .some : errno == EAGAIN ? .nothingYet : .broken
        }
    }
}
