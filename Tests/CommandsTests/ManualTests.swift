// SPDX-License-Identifier: Apache-2.0
//
// The man pages that scripts/manual makes of the executable, and the completions that shells get
// of it, as an operator meets them.

import Foundation
import Glibc
import Support
import Testing

struct ManualTests {
    private static let script = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "scripts/manual")

    private static let pages = Result {
        let folder = try TemporaryDirectory()
        let made = try runProcess(script.path, [DaemonProcess.executable, folder.path])
        guard made.status == .code(0) else { throw SupportError(made.stderr) }
        return folder
    }

    private static func present(_ path: String) -> Bool { access(path, X_OK) == 0 }

    @Test(arguments: HelpTests.pages.map(\.name))
    func `every command has a man page that renders without a warning`(name: String) throws {
        let name = name == "walrelay" ? name : "walrelay-\(name)"
        let page = try Self.pages.get().file("\(name).1")
        let source = try String(contentsOfFile: page, encoding: .utf8)
        #expect(source.contains(".SH \"EXIT STATUS\"") || source.contains(".SH EXIT STATUS"))
        // What a page is, is in its first lines: apropos reads these.
        #expect(source.contains(".SH NAME\n\(name.replacing("-", with: "\\-")) \\- "))
        if Self.present("/usr/bin/man") {
            let output = try runProcess(
                "/usr/bin/man",
                ["--warnings", "--local-file", page],
                environment: ["LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "MANWIDTH": "80"]
            )
            #expect(output.status == .code(0))
            #expect(output.stderr == "")
            #expect(output.stdout.contains("--help"))
        }
        if Self.present("/usr/bin/mandoc") {
            let output = try runProcess("/usr/bin/mandoc", ["-Tlint", "-Wwarning", page])
            #expect(output.stdout + output.stderr == "")
        }
    }

    /// What bash offers for the last of the words, in a directory with orders.yaml, job.json and
    /// a folder.
    private func offered(_ words: String...) throws -> [String] {
        let folder = try TemporaryDirectory()
        for file in ["orders.yaml", "job.json", "notes.txt"] { try folder.write("", to: file) }
        mkdir(folder.file("tasks"), 0o755)
        let program = #"""
            cd "$1"
            eval "$("$2" --generate-completion-script bash)"
            shift 2
            compopt() { :; }
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*"
            COMP_POINT=${#COMP_LINE}
            _walrelay "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\n' "${COMPREPLY[@]}"
            """#
        let output = try runProcess(
            "/bin/bash",
            ["--norc", "-c", program, "bash", folder.path, DaemonProcess.executable] + words
        )
        #expect(output.stderr == "")
        return output.stdout.split(separator: "\n").map(String.init).sorted()
    }

    @Test func `bash completes commands, options and the files that fit`() throws {
        #expect(try offered("walrelay", "sl") == ["slots"])
        #expect(try offered("walrelay", "slots", "").contains("drop"))
        #expect(try offered("walrelay", "slots", "drop", "--st") == ["--stale"])
        #expect(try offered("walrelay", "run", "--config", "") == ["orders.yaml", "tasks"])
        #expect(try offered("walrelay", "check", "--config", "ord") == ["orders.yaml"])
        #expect(try offered("walrelay", "run", "--until", "n") == ["now"])
        #expect(try offered("walrelay", "batch", "j") == ["job.json"])
    }

    @Test(arguments: ["zsh", "fish"].filter { present("/usr/bin/\($0)") })
    func `other shells take their completions`(shell: String) throws {
        let script = try runProcess(
            DaemonProcess.executable,
            ["--generate-completion-script", shell]
        )
        #expect(script.status == .code(0))
        let folder = try TemporaryDirectory()
        let file = try folder.write(script.stdout, to: "completions")
        let parsed = try runProcess("/usr/bin/\(shell)", ["-n", file])
        #expect(parsed.status == .code(0))
        #expect(parsed.stderr == "")
        guard shell == "fish" else { return }
        let program = "source \(file); complete --do-complete 'walrelay sl'"
        let offered = try runProcess("/usr/bin/fish", ["--no-config", "-c", program])
        #expect(offered.stdout.hasPrefix("slots"), "\(offered.stdout)\(offered.stderr)")
    }
}
