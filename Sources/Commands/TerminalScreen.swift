// SPDX-License-Identifier: Apache-2.0
//
// A terminal's second screen, for what is drawn again and again: it is taken with the first frame
// and given back whatever ends the process but SIGKILL, so that the terminal is as it was. A frame
// fills no more than the window has room for.

import Glibc

/// The terminal at standard output.
struct TerminalScreen {
    /// Rows and columns of a window.
    struct Size: Equatable {
        var rows = 24
        var columns = 80
    }

    let isColoured: Bool

    /// A terminal that can be drawn on; nil where standard output is none.
    init?(environment: [String: String]) {
        guard isatty(STDOUT_FILENO) == 1, Self.isCapable(environment) else { return nil }
        isColoured = Self.isColoured(STDOUT_FILENO, environment)
    }

    /// Whether a descriptor gets colours: a terminal that is not dumb, without `NO_COLOR`.
    static func isColoured(_ descriptor: Int32, _ environment: [String: String]) -> Bool {
        isatty(descriptor) == 1 && environment["TERM"] != "dumb"
            && (environment["NO_COLOR"] ?? "").isEmpty
    }

    /// Whether the terminal knows more than printing lines.
    static func isCapable(_ environment: [String: String]) -> Bool {
        !["", "dumb"].contains(environment["TERM"] ?? "")
    }

    /// The window of a descriptor as it is now.
    static func size(of descriptor: Int32 = STDOUT_FILENO) -> Size {
        var window = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &window) == 0, window.ws_row > 0,
            window.ws_col > 0
        else { return Size() }
        return Size(rows: Int(window.ws_row), columns: Int(window.ws_col))
    }

    /// Takes the second screen and hides the cursor.
    ///
    /// Signals that end or stop the process give it back first; those by which somebody asks for
    /// the end lead to exit code 0.
    func enter() {
        for number in [SIGINT, SIGTERM] {
            signal(number) { _ in
                TerminalScreen.giveBack()
                _exit(0)
            }
        }
        for number in [SIGHUP, SIGQUIT] {
            signal(number) { number in
                TerminalScreen.giveBack()
                signal(number, SIG_DFL)
                kill(getpid(), number)
            }
        }
        signal(SIGTSTP) { _ in
            TerminalScreen.giveBack()
            kill(getpid(), SIGSTOP)
            TerminalScreen.take()
        }
        Self.take()
    }

    /// Gives the first screen back.
    func leave() { Self.giveBack() }

    /// Puts a frame in the place of the one before.
    func draw(_ lines: [StyledText], in size: Size = Self.size()) {
        let text = Self.fit(lines, in: size).map { $0.rendered(isColoured: isColoured) }
            .joined(separator: "\u{1B}[K\n")
        // Whoever has taken the terminal away sees no frame.
        try? StandardOutput.write("\u{1B}[H" + text + "\u{1B}[K\u{1B}[J")
    }

    /// The lines that a window has room for; the last one says how many more there are.
    static func fit(_ lines: [StyledText], in size: Size) -> [StyledText] {
        var shown = Array(lines.prefix(size.rows))
        if lines.count > size.rows, size.rows > 1 {
            let more = lines.count - size.rows + 1
            shown[size.rows - 1] = StyledText("… and \(more) lines more", .quiet)
        }
        return shown.map { $0.cut(toColumns: size.columns) }
    }

    // Both are called in signal handlers: a write(2) of bytes that are there, and nothing else.

    private static func take() {
        let codes: StaticString = "\u{1B}[?1049h\u{1B}[?25l"
        _ = Glibc.write(STDOUT_FILENO, codes.utf8Start, codes.utf8CodeUnitCount)
    }

    private static func giveBack() {
        let codes: StaticString = "\u{1B}[?25h\u{1B}[?1049l"
        _ = Glibc.write(STDOUT_FILENO, codes.utf8Start, codes.utf8CodeUnitCount)
    }
}
