// SPDX-License-Identifier: Apache-2.0
//
// A systemd that a test boots itself, to run a unit as the operator's systemd would: in a container
// (systemd-nspawn) over a layer in memory on top of this machine's files, so that nothing that it
// writes is left. It has this machine's network, and so reaches the servers of the other fixtures.
// All of it lives in a mount and a pid namespace that go with the child, however the test ends.
import Foundation
import Glibc

/// A booted systemd; it and all that it runs is killed when the last reference goes.
public final class SystemdMachine: Sendable {
    private let unshare: ChildProcess
    private let output: String
    private let folder: TemporaryDirectory
    /// Systemd's pid as seen from here.
    private let leader: pid_t

    /// Why there can be none on this machine; nil where there can.
    public static let absence: String? = {
        guard geteuid() == 0 else { return "only root may boot a systemd" }
        guard access("/usr/bin/systemd-nspawn", X_OK) == 0 else {
            return "systemd-nspawn is not installed: scripts/setup test"
        }
        let attempt = try? runProcess(
            "/usr/bin/unshare",
            ["--mount", "--pid", "--fork", "/bin/mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        )
        return attempt?.status == .code(0) ? nil : "this machine allows no mount namespace"
    }()

    // The layer is mounted where nobody outside of the namespace sees it. What this machine's own
    // systemd would start is hidden behind a directory without units.
    private static let boot = """
        set -eu
        folder=$1 root=$2
        shift 2
        mount -t tmpfs tmpfs "$folder/layer"
        cd "$folder/layer"
        mkdir upper work root
        mount -t overlay overlay root -o "lowerdir=$root,upperdir=upper,workdir=work"
        exec systemd-nspawn --quiet --register=no --keep-unit --link-journal=no --console=pipe \
            --directory="$folder/layer/root" --bind="$folder/units:/etc/systemd/system" \
            "$@" --boot systemd.unit=test.target
        """

    /// Boots one; returns when systemd takes orders.
    ///
    /// Its /usr/bin/walrelay is `executable`, or nothing where that is to be installed. Of this
    /// machine it sees the files and directories in `shared`, read only, at the paths that stand
    /// there (absolute, without a colon). The system that it runs is that in the directory `root`,
    /// by default this machine's; nothing is written there.
    public static func boot(
        executable: String? = DaemonProcess.executable,
        shared: [String: String] = [:],
        root: String = "/"
    ) async throws -> SystemdMachine {
        let folder = try TemporaryDirectory()
        for name in ["layer", "units"] {
            try FileManager.default.createDirectory(
                atPath: folder.file(name),
                withIntermediateDirectories: false
            )
        }
        try folder.write("[Unit]\nRequires=sysinit.target\n", to: "units/test.target")
        let output = folder.file("console")
        let console = open(output, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(console) }
        let bound = executable.map { shared.merging([$0: "/usr/bin/walrelay"]) { $1 } } ?? shared
        let child = try ChildProcess(
            "/usr/bin/unshare",
            ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", boot]
                + ["boot", folder.path, root]
                + bound.sorted { $0.value < $1.value }.map { "--bind-ro=\($0.key):\($0.value)" },
            stdout: console,
            stderr: console
        )
        var leader: pid_t = 0
        do {
            try await eventually("the boot of systemd", timeout: .seconds(120)) {
                leader = try descendant(of: child.pid, generations: 2)
                return try enter(leader, ["systemctl", "is-active", "test.target"]).status
                    == .code(0)
            }
        } catch {
            let console = (try? String(contentsOfFile: output, encoding: .utf8)) ?? ""
            throw SupportError("\(error)\n\(console.suffix(2_000))")
        }
        return SystemdMachine(child, output, folder, leader)
    }

    private init(
        _ unshare: ChildProcess,
        _ output: String,
        _ folder: TemporaryDirectory,
        _ leader: pid_t
    ) {
        self.unshare = unshare
        self.output = output
        self.folder = folder
        self.leader = leader
    }

    /// The only child of the only child: unshare, nspawn, systemd.
    private static func descendant(of pid: pid_t, generations: Int) throws -> pid_t {
        var pid = pid
        for _ in 0..<generations {
            let path = "/proc/\(pid)/task/\(pid)/children"
            let text = try String(contentsOfFile: path, encoding: .utf8)
            guard let child = text.split(separator: " ").first.flatMap({ pid_t($0) }) else {
                throw SupportError("\(path) is empty")
            }
            pid = child
        }
        return pid
    }

    private static func enter(
        _ leader: pid_t,
        _ command: [String],
        input: String = "",
        limit: Duration = .seconds(60)
    ) throws -> ProcessOutput {
        try runProcess(
            "/usr/bin/nsenter",
            ["--target", "\(leader)", "--all", "--wdns=/"] + command,
            input: input,
            environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"],
            limit: limit
        )
    }

    /// Runs a program in the machine as root, to its end; throws when `limit` passes first.
    public func run(
        _ command: String...,
        input: String = "",
        limit: Duration = .seconds(60)
    ) async throws -> ProcessOutput {
        try await onThread { try Self.enter(self.leader, command, input: input, limit: limit) }
    }

    /// Writes a file in the machine, with the directories that it lies in.
    public func write(_ text: String, to path: String, mode: String = "644") async throws {
        let script = #"umask 022; mkdir -p "${1%/*}" && cat >"$1" && chmod "$0" "$1""#
        let output = try await run("/bin/sh", "-c", script, mode, path, input: text)
        guard output.status == .code(0) else { throw SupportError(output.stderr) }
    }

    /// The text of a file in the machine; empty where there is none.
    public func read(_ path: String) async throws -> String {
        try await run("/bin/cat", path).stdout
    }

    /// Runs `systemctl` and throws what it and the unit's journal said where that fails.
    @discardableResult
    public func systemctl(_ verb: String, _ unit: String) async throws -> String {
        let output = try await run("systemctl", verb, unit)
        guard output.status == .code(0) else {
            let journal = try await journal(unit)
            throw SupportError("systemctl \(verb) \(unit): \(output.stderr)\n\(journal)")
        }
        return output.stdout
    }

    /// A property of a unit, as `systemctl show` has it.
    public func property(_ name: String, of unit: String) async throws -> String {
        try await run("systemctl", "show", "-P", name, unit).stdout
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// What a unit said, and what systemd said of it.
    public func journal(_ unit: String) async throws -> String {
        _ = try await run("journalctl", "--sync")
        return try await run("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout
    }
}
