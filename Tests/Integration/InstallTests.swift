// SPDX-License-Identifier: Apache-2.0
//
// Installing, upgrading and removing, by the installer of a release and as a Debian package, on
// systems with a systemd of their own, and a task that lives through it.

import Foundation
import Glibc
import Support
import Testing

@Suite(
    .enabled(
        if: SystemdMachine.absence == nil,
        Comment(rawValue: SystemdMachine.absence ?? "")
    ),
    .timeLimit(.minutes(10))
)
struct InstallTests {
    private static let installer = "/srv/release/install"

    /// A machine with an unpacked release, and the directory that holds it there.
    private func machineWithRelease() async throws -> (SystemdMachine, TemporaryDirectory) {
        let release = try await Packages.shared.unpacked()
        let machine = try await SystemdMachine.boot(
            executable: nil,
            shared: [release.path: "/srv/release"]
        )
        return (machine, release.directory)
    }

    /// Runs a command and gives what it printed; it has to succeed.
    @discardableResult
    private func run(_ machine: SystemdMachine, _ command: String) async throws -> String {
        // apt-get fetches.
        let output = try await machine.run("/bin/bash", "-c", command, limit: .seconds(300))
        let text = output.stdout + output.stderr
        guard output.status == .code(0) else { throw SupportError("\(command): \(text)") }
        return text
    }

    /// Has the change arrive in the task's files, once.
    private func relay(_ note: String, through task: SandboxedTask, id: Int) async throws {
        try task.source.psql("INSERT INTO orders VALUES (\(id), '\(note)')")
        try await eventually("\(note) in the files") {
            try await task.arrived().components(separatedBy: "\"\(note)\"").count == 2
        }
    }

    @Test func `the installer installs, upgrades and removes, and a task keeps its data`()
        async throws
    {
        let (machine, release) = try await machineWithRelease()
        defer { withExtendedLifetime(release) {} }
        let nobody = try await machine.run(
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            Self.installer
        )
        #expect(nobody.status == .code(77))
        #expect(nobody.stderr.contains("only root may do this: sudo"))

        let first = try await run(machine, Self.installer)
        #expect(first.contains("installed /usr/local/bin/walrelay\n"))
        #expect(first.contains("systemctl enable --now walrelay@TASK"))
        let again = try await run(machine, Self.installer)
        #expect(!again.contains("installed /"), "\(again)")
        let verdict = try await run(
            machine,
            "systemd-analyze verify /usr/local/lib/systemd/system/walrelay@.service"
        )
        #expect(verdict == "")
        #expect(try await run(machine, "man --warnings walrelay-run").contains("--until"))

        try await SandboxedMachine.permitLibraries(in: machine)
        let task = try await SandboxedTask(.ndjson, on: machine)
        try await machine.systemctl("start", task.unit)
        try await relay("streamed", through: task, id: 2)
        let pid = try await machine.property("MainPID", of: task.unit)
        let upgraded = try await run(
            machine,
            "cp /srv/release/walrelay /root/newer; echo >>/root/newer;"
                + "\(Self.installer) --binary /root/newer"
        )
        #expect(upgraded.contains("installed /usr/local/bin/walrelay\n"))
        #expect(upgraded.contains("systemctl restart \(task.unit)"))
        #expect(try await machine.property("MainPID", of: task.unit) == pid)

        let refused = try await machine.run(Self.installer, "--uninstall")
        #expect(refused.status == .code(77))
        #expect(refused.stderr.contains("still running: \(task.unit)"))
        try await machine.systemctl("stop", task.unit)
        let removed = try await run(machine, "\(Self.installer) --uninstall")
        #expect(removed.contains("the slot of \(task.name).yaml holds WAL"))
        #expect(try await run(machine, "find /usr -xdev -name '*walrelay*'") == "")
        #expect(try await task.arrived().contains("streamed"))

        try await afterwards(machine, task)
    }

    /// Installed anew with a user that lasts, the task goes on; a purge leaves nothing.
    private func afterwards(_ machine: SystemdMachine, _ task: SandboxedTask) async throws {
        let user = try await run(machine, "\(Self.installer) --user")
        #expect(user.contains("made the user walrelay"))
        try await keepsDropIns(machine)
        try await machine.systemctl("start", task.unit)
        try await relay("anew", through: task, id: 3)
        let id = try await run(machine, "id -u walrelay")
        let real = try await task.kernelSays("Uid").split(separator: "\t").first
        #expect(real.map(String.init) == id.trimmingCharacters(in: .whitespacesAndNewlines))
        let owner = try await run(
            machine,
            "stat -c '%U %a' /var/lib/walrelay/\(task.name)/checkpoint.json"
        )
        #expect(owner.hasPrefix("walrelay 6"))
        #expect(try await task.arrived().components(separatedBy: "\"copied\"").count == 2)
        try await run(machine, "systemctl disable --now \(task.unit)")
        try await run(machine, "\(Self.installer) --uninstall --purge")
        let left = try await run(
            machine,
            "find /etc /usr/local /var/lib -xdev -name '*walrelay*'; id walrelay 2>&1 || true"
        )
        #expect(left.contains("no such user"))
        #expect(!left.contains("/"), "\(left)")
    }

    /// What the administrator wrote beside the unit stays, also where both lie in one directory.
    private func keepsDropIns(_ machine: SystemdMachine) async throws {
        let dropIn = "/etc/systemd/system/walrelay@.service.d/user.conf"
        try await run(machine, "echo '# mine' >>\(dropIn)")
        let again = try await run(machine, "\(Self.installer) --user --prefix /opt/walrelay")
        #expect(again.contains("installed /etc/systemd/system/walrelay@.service"))
        let timer = "/etc/systemd/system/walrelay-stale-slots.timer"
        try await run(machine, "echo '[Timer]' >\(timer)")
        try await run(machine, "\(Self.installer) --uninstall --prefix /opt/walrelay")
        let left = try await run(machine, "ls /etc/systemd/system; cat \(dropIn); rm \(timer)")
        #expect(!left.contains("walrelay@.service\n"))
        #expect(left.contains("walrelay-stale-slots.timer") && left.contains("# mine"))
    }

    @Test(arguments: PackageGround.wanted)
    func `the Debian package installs, upgrades and removes`(ground: PackageGround) async throws {
        let packages = try await Packages.shared
        let root = try await ground.makeRoot()
        var shared = [packages.folder.path: "/srv/packages"]
        // A debug build takes Swift's libraries from there.
        if root != nil, access("/opt/swift", X_OK) == 0 { shared["/opt/swift"] = "/opt/swift" }
        let machine = try await SystemdMachine.boot(
            executable: nil,
            shared: shared,
            root: root?.path ?? "/"
        )
        defer { withExtendedLifetime(root) {} }
        // A Debian that is new knows no package yet.
        if root != nil { try await run(machine, "apt-get update") }
        let install =
            "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "
            + "--reinstall /srv/packages/\(packages.debian)"
        try await run(machine, install)
        #expect(try await run(machine, "walrelay --version").hasPrefix("0."))
        #expect(try await machine.run("dpkg", "--verify", "walrelay").stdout == "")
        #expect(try await run(machine, "systemctl list-units --all 'walrelay@*'").contains("0 "))

        try await SandboxedMachine.permitLibraries(in: machine)
        let task = try await SandboxedTask(.ndjson, on: machine)
        try await run(machine, "systemctl enable --now \(task.unit)")
        try await relay("streamed", through: task, id: 2)
        let pid = try await machine.property("MainPID", of: task.unit)
        let again = try await run(machine, install)
        #expect(again.contains("systemctl restart \(task.unit)"), "\(again)")
        #expect(try await machine.property("MainPID", of: task.unit) == pid)

        // Of container images: a rule that keeps packages from stopping what runs.
        try await run(machine, "rm -f /usr/sbin/policy-rc.d; apt-get remove -y walrelay")
        #expect(try await machine.property("ActiveState", of: task.unit) == "inactive")
        #expect(try await machine.run("test", "-e", "/usr/bin/walrelay").status == .code(1))
        let purged = try await run(machine, "apt-get purge -y walrelay")
        #expect(purged.contains("kept /etc/walrelay/\(task.name).yaml"), "\(purged)")
        #expect(try await task.arrived().contains("streamed"))
        let links = try await run(machine, "find /etc/systemd/system/*.wants -name 'walrelay@*'")
        #expect(links == "")
    }
}
