// SPDX-License-Identifier: Apache-2.0
//
// A terminal for a process under test: of a given size, and with all that was written to it kept.
// It is not the controlling one, so a key such as Ctrl-C is sent as its signal.
import Foundation
import Glibc
import Synchronization

/// A process whose three streams are a terminal.
public final class PseudoTerminal: Sendable {
    private let child: ChildProcess
    private let primary: Int32
    private let written = Mutex<[UInt8]>([])

    /// Starts a program on a terminal of so many rows and columns.
    public init(
        _ executable: String,
        _ arguments: [String],
        environment: [String: String] = [:],
        rows: Int = 24,
        columns: Int = 80
    ) throws {
        primary = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var number: Int32 = 0
        var lock: Int32 = 0
        // TIOCSPTLCK and TIOCGPTN, which are not imported.
        guard primary >= 0, ioctl(primary, 0x4004_5431, &lock) == 0,
            ioctl(primary, 0x8004_5430, &number) == 0
        else { throw SupportError("a terminal: \(errnoText())") }
        let secondary = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        defer { close(secondary) }
        guard secondary >= 0 else { throw SupportError("a terminal: \(errnoText())") }
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("PG") }
        variables["NO_COLOR"] = nil
        variables["TERM"] = "xterm"
        variables.merge(environment) { $1 }
        var window = winsize(
            ws_row: UInt16(rows),
            ws_col: UInt16(columns),
            ws_xpixel: 0,
            ws_ypixel: 0
        )
        _ = ioctl(primary, UInt(TIOCSWINSZ), &window)
        child = try ChildProcess(
            executable,
            arguments,
            environment: variables,
            stdin: secondary,
            stdout: secondary,
            stderr: secondary
        )
        Thread.detachNewThread { [weak self, primary] in
            var chunk = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = read(primary, &chunk, chunk.count)
                if count < 0, errno == EINTR { continue }
                // EIO: nobody has the other end open any more.
                guard count > 0, let self else { return }
                self.written.withLock { $0 += chunk[..<count] }
            }
        }
    }

    deinit {
        child.signal(SIGKILL)
        close(primary)
    }

    /// Changes the window's size, as somebody does who drags its corner.
    public func resize(rows: Int, columns: Int) {
        var window = winsize(
            ws_row: UInt16(rows),
            ws_col: UInt16(columns),
            ws_xpixel: 0,
            ws_ypixel: 0
        )
        _ = ioctl(primary, UInt(TIOCSWINSZ), &window)
    }

    /// Everything that was written, codes included.
    public var output: String { written.withLock { String(decoding: $0, as: UTF8.self) } }

    /// The last frame of a program that draws at the top of the second screen, line by line.
    public var frame: [String] {
        let last = output.components(separatedBy: "\u{1B}[H").last ?? ""
        return last.replacing(#/\e\[[0-9;?]*[A-Za-z]/#, with: "").components(separatedBy: "\r\n")
    }

    /// Sends a signal.
    public func kill(_ signal: Int32) { child.signal(signal) }

    /// Its end, or nil while it runs.
    public var status: ExitStatus? { child.status() }

    /// Waits for its end.
    public func wait(_ timeout: Duration = .seconds(30)) async throws -> ExitStatus {
        let ended = try await onThread { self.child.waitBlocking(timeout) }
        guard let ended else { throw SupportError("did not end within \(timeout)\n\(output)") }
        return ended
    }
}
