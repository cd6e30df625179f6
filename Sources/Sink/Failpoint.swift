// SPDX-License-Identifier: Apache-2.0
//
// Named places at which a debug build can be made to die or to wait, so that kill tests hit every
// durability edge. Nothing of it is left in a release build.
//
//   WALRELAY_FAILPOINT=sink.before_seal:3          SIGKILL at the third hit (default: the first)
//   WALRELAY_FAILPOINT_PAUSE=sink.before_write=60s  sleep there at every hit; s or ms

#if DEBUG
import Glibc
import Synchronization
#endif

/// A place on the way to durability.
public enum Failpoint: String, Sendable, CaseIterable {
    /// Before bytes are handed to the operating system.
    case beforeWrite = "sink.before_write"
    /// All is written, nothing is synced.
    case afterWriteBeforeSync = "sink.after_write_before_sync"
    /// The data is durable, the checkpoint is still the old one.
    case afterSyncBeforeCheckpoint = "sink.after_sync_before_checkpoint"
    /// The new checkpoint is durable under its temporary name.
    case checkpointWrittenBeforeRename = "sink.checkpoint_written_before_rename"
    /// The new checkpoint has its name; the directory is not synced.
    case afterCheckpointRenameBeforeDirectorySync =
        "sink.after_checkpoint_rename_before_directory_sync"
    /// The commit is durable and the source has not been told.
    case afterCheckpointBeforeFeedback = "sink.after_checkpoint_before_feedback"
    /// The rows of a lane's chunk are on the target; nothing says so yet.
    case chunkBeforeRecord = "sink.chunk_before_record"
    /// A chunk and what says so are written, and not committed.
    case chunkBeforeCommit = "sink.chunk_before_commit"
    /// A chunk is committed.
    case chunkAfterCommit = "sink.chunk_after_commit"
    /// Tables that were copied beside the stream are whole; the checkpoint does not say so.
    case additionBeforeCommit = "addition.before_commit"
    /// The checkpoint says that tables were added; the stream has not begun anew.
    case additionAfterCommit = "addition.after_commit"
    /// A batch of rows that are copied beside the stream is about to be written.
    case additionBeforeWrite = "addition.before_write"
    /// A file is full and synced; its successor does not exist.
    case rotationBeforeCreate = "sink.rotation_before_create"
    /// The successor of a full file exists and is empty.
    case rotationAfterCreate = "sink.rotation_after_create"
    /// A file that a durable checkpoint covers still has its open name.
    case beforeSeal = "sink.before_seal"
    /// A file has just got its sealed name.
    case afterSeal = "sink.after_seal"

    /// Dies or waits here where the environment says so; does nothing in a release build.
    @inlinable
    public static func hit(_ point: Failpoint) {
        #if DEBUG
        reach(point)
        #endif
    }

    #if DEBUG
    @usableFromInline
    static func reach(_ point: Failpoint) {
        if let pause = armed.pause, pause.point == point {
            // In short sleeps: a signal that cuts one short does not cut the pause short.
            for _ in 0..<(pause.milliseconds / 10) { usleep(10_000) }
        }
        guard armed.fatal == point else { return }
        if armed.countdown.subtract(1, ordering: .relaxed).newValue == 0 {
            kill(getpid(), SIGKILL)
        }
    }

    private static let armed = ArmedFailpoints()
    #endif
}

#if DEBUG
/// What the environment asked for, read once.
final class ArmedFailpoints: Sendable {
    let fatal: Failpoint?
    let pause: (point: Failpoint, milliseconds: Int)?
    /// Hits of `fatal` that are left until the process dies.
    let countdown: Atomic<Int>

    init() {
        var hits = 1
        fatal = Self.environment("WALRELAY_FAILPOINT").map { text in
            let parts = text.split(separator: ":", maxSplits: 1)
            guard let point = parts.first.flatMap({ Failpoint(rawValue: String($0)) }),
                let count = parts.count == 1 ? 1 : Int(parts[1]), count > 0
            else { Self.refuse(text) }
            hits = count
            return point
        }
        countdown = Atomic(hits)
        pause = Self.environment("WALRELAY_FAILPOINT_PAUSE").map { text in
            let parts = text.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, let point = Failpoint(rawValue: String(parts[0])),
                let duration = Self.milliseconds(parts[1])
            else { Self.refuse(text) }
            return (point, duration)
        }
    }

    /// Parses `60s` or `250ms`, up to an hour; `nil` for anything else.
    static func milliseconds(_ text: Substring) -> Int? {
        let scale = text.hasSuffix("ms") ? 1 : 1_000
        guard text.hasSuffix("s"), let value = Int(text.dropLast(scale == 1 ? 2 : 1)),
            (0...3_600_000 / scale).contains(value)
        else { return nil }
        return value * scale
    }

    private static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// A mistyped failpoint would make a kill test pass without a kill.
    private static func refuse(_ text: String) -> Never {
        let line = Array("unknown failpoint: \(text)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
        exit(64)
    }
}
#endif
