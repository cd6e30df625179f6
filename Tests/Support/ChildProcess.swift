// SPDX-License-Identifier: Apache-2.0
//
// Child processes that cannot outlive the test process. The kernel signals a child when the
// *thread* that made it ends, and threads of a pool do end; so one thread that lives for ever
// makes them all. The child checks its parent once more after arming the signal, which closes
// the gap in which the parent may already be gone. Works across a change of user: setpriv arms
// the signal after it has changed the user.
public import Foundation
import Glibc
import Synchronization

/// Who a child runs as when the tests run as root: PostgreSQL refuses to be root.
public struct ServerOwner: Sendable {
    /// Numeric user.
    public let uid: uid_t
    /// Numeric group.
    public let gid: gid_t

    /// The user to drop to, or nil where the tests are not root and no drop is needed.
    public static let current: ServerOwner? = {
        guard geteuid() == 0 else { return nil }
        for name in ["postgres", "nobody"] {
            guard let entry = getpwnam(name) else { continue }
            return ServerOwner(uid: entry.pointee.pw_uid, gid: entry.pointee.pw_gid)
        }
        return ServerOwner(uid: 65_534, gid: 65_534)
    }()

    /// Gives `path` to the owner; without effect where there is none.
    static func give(_ path: String) throws(SupportError) {
        guard let owner = current else { return }
        guard chown(path, owner.uid, owner.gid) == 0 else {
            throw SupportError("chown \(path): \(errnoText())")
        }
    }
}

/// What a test fixture could not do, with all that helps to see why.
public struct SupportError: Error, CustomStringConvertible, Sendable {
    /// The sentence, with output of the process concerned where there is one.
    public let description: String

    /// Creates an error from a sentence.
    public init(_ description: String) {
        self.description = description
    }
}

/// How a process ended.
public enum ExitStatus: Sendable, Equatable, CustomStringConvertible {
    /// It returned this code.
    case code(Int32)
    /// This signal ended it.
    case signal(Int32)

    /// `exit 65` or `signal 9`.
    public var description: String {
        switch self {
        case .code(let code): "exit \(code)"
        case .signal(let signal): "signal \(signal)"
        }
    }

    init(raw status: Int32) {
        let signal = status & 0x7f
        self = signal == 0 ? .code((status >> 8) & 0xff) : .signal(signal)
    }
}

func errnoText(_ code: Int32 = errno) -> String {
    String(cString: strerror(code))
}

/// Runs `body` on a thread of its own, so that blocking there starves no other test.
public func onThread<Value: Sendable>(
    _ body: @escaping @Sendable () throws -> Value
) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
            continuation.resume(with: Result { try body() })
        }
    }
}

/// The thread that is the parent of every child.
private final class Spawner: Sendable {
    static let shared = Spawner()

    private let jobs = Mutex<[@Sendable () -> Void]>([])
    private let available = DispatchSemaphore(value: 0)

    private init() {
        Thread.detachNewThread { [self] in
            while true {
                available.wait()
                let job = jobs.withLock { $0.isEmpty ? nil : $0.removeFirst() }
                job?()
            }
        }
    }

    /// Blocks until `job` has run on the thread, and gives what it returned.
    func perform(_ job: @escaping @Sendable () -> pid_t) -> pid_t {
        let answer = Answer()
        let done = DispatchSemaphore(value: 0)
        jobs.withLock {
            $0.append {
                answer.pid.store(job(), ordering: .releasing)
                done.signal()
            }
        }
        available.signal()
        done.wait()
        return answer.pid.load(ordering: .acquiring)
    }

    private final class Answer: Sendable {
        let pid = Atomic<pid_t>(-EIO)
    }
}

/// glibc's posix_spawn_file_actions_addclosefrom_np, which its headers show to GNU sources only.
private let closeFrom:
    (@convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32)? = {
        dlsym(nil, "posix_spawn_file_actions_addclosefrom_np").map {
            unsafeBitCast(
                $0,
                to: (@convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32)
                    -> Int32).self
            )
        }
    }()

/// The pid, or the negated errno.
private func spawn(_ line: [String], _ variables: [String], _ descriptors: [Int32?]) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (target, descriptor) in descriptors.enumerated() {
        if let descriptor {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(target))
        } else {
            posix_spawn_file_actions_addopen(&actions, Int32(target), "/dev/null", O_RDWR, 0)
        }
    }
    _ = closeFrom?(&actions, Int32(descriptors.count))

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    var all = sigset_t()
    sigemptyset(&none)
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
        &attributes,
        Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP)
    )

    var argv: [UnsafeMutablePointer<CChar>?] = line.map { strdup($0) } + [nil]
    var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
    defer { for pointer in argv + envp { free(pointer) } }
    var pid: pid_t = 0
    let code = posix_spawn(&pid, line[0], &actions, &attributes, &argv, &envp)
    return code == 0 ? pid : -code
}

/// A running child; it is killed when the last reference goes or the test process ends.
public final class ChildProcess: Sendable {
    /// The process id, the same across the exec into the program itself.
    public let pid: pid_t
    private let ended = Mutex<ExitStatus?>(nil)

    /// Starts `executable`; nothing of the parent's descriptors but the three given is inherited.
    ///
    /// `deathSignal` is what the child gets when the test process ends, such as `KILL`.
    public init(
        _ executable: String,
        _ arguments: [String] = [],
        environment: [String: String] = ProcessInfo.processInfo.environment,
        workingDirectory: String? = nil,
        owner: ServerOwner? = nil,
        deathSignal: String = "KILL",
        stdin: Int32? = nil,
        stdout: Int32? = nil,
        stderr: Int32? = nil
    ) throws {
        guard access(executable, X_OK) == 0 else {
            throw SupportError("\(executable): \(errnoText())")
        }
        var command = ["/usr/bin/setpriv", "--pdeathsig", deathSignal]
        if let owner {
            command += ["--reuid=\(owner.uid)", "--regid=\(owner.gid)", "--clear-groups"]
        }
        // The working directory is changed after the user, so that the child may enter it.
        command += ["/bin/sh", "-c"]
        command += [#"[ "$PPID" = "$0" ] && cd "$1" && shift && exec "$@""#, "\(getpid())"]
        command += [workingDirectory ?? (owner == nil ? "." : "/"), executable]
        command += arguments
        let line = command
        let variables = environment.map { "\($0)=\($1)" }
        let descriptors = [stdin, stdout, stderr]
        pid = Spawner.shared.perform { spawn(line, variables, descriptors) }
        guard pid > 0 else { throw SupportError("spawn \(executable): \(errnoText(-pid))") }
    }

    deinit {
        if status() == nil {
            kill(pid, SIGKILL)
            var raw: Int32 = 0
            _ = waitpid(pid, &raw, 0)
        }
    }

    /// How it ended, or nil while it runs; never blocks.
    public func status() -> ExitStatus? {
        ended.withLock { ended in
            if ended != nil { return ended }
            var raw: Int32 = 0
            if waitpid(pid, &raw, WNOHANG) == pid { ended = ExitStatus(raw: raw) }
            return ended
        }
    }

    /// Sends a signal; without effect once the process has ended.
    public func signal(_ signal: Int32) {
        ended.withLock { ended in
            if ended == nil { _ = kill(pid, signal) }
        }
    }

    /// Has it stand still, and returns when it does.
    ///
    /// The threads of a process stop only once one of them has taken the signal, which on a busy
    /// machine is not at once. SIGCONT has it go on.
    public func suspend() {
        signal(SIGSTOP)
        let deadline = ContinuousClock.now + .seconds(20)
        while status() == nil, !isStopped, ContinuousClock.now < deadline { usleep(1_000) }
    }

    /// Whether each of its threads is stopped (proc(5): the state T behind the name).
    private var isStopped: Bool {
        let tasks = "/proc/\(pid)/task"
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
        return threads.allSatisfy { thread in
            let stat = try? String(contentsOfFile: "\(tasks)/\(thread)/stat", encoding: .utf8)
            return stat?.split(separator: ")").last?.hasPrefix(" T") ?? true
        }
    }

    /// Blocks until the process has ended, at most `limit`; nil when it still runs then.
    public func waitBlocking(_ limit: Duration) -> ExitStatus? {
        let deadline = ContinuousClock.now + limit
        var pause: useconds_t = 500
        while true {
            if let status = status() { return status }
            if ContinuousClock.now >= deadline { return nil }
            usleep(pause)
            pause = min(pause * 2, 10_000)
        }
    }
}
