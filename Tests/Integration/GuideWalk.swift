// SPDX-License-Identifier: Apache-2.0
//
// A reader who follows a page command by command: a system with a systemd, a release in the working
// directory, a source and a target at db.example with the roles that the page makes, and settings
// for the task orders. `sudo` is a script there, since this reader is root.

import Foundation
import Support
import Testing

/// One walk; the machine goes with the last reference.
struct GuideWalk: Sendable {
    private let machine: SystemdMachine
    private let shop: HardenedShop
    private let packages: Packages

    /// Where the reader stands at first; a release is there and what a checkout has.
    private static let folder = "/root/walk"

    /// How long a command may take: apt-get fetches.
    private static let limit: Duration = .seconds(300)

    init() async throws {
        packages = try await Packages.shared
        shop = try await HardenedShop(.v15, source: "passwordFile: credential:password")
        try await shop.grant("grants-source")
        try await shop.publish()
        try await shop.grant("grants-target", in: HardenedShop.target)
        try await shop.grant("grants-target-triggers", in: HardenedShop.target)
        var shared = [packages.folder.path: "/srv/release", DaemonProcess.executable: "/srv/built"]
        for name in ["config", "docs", "scripts", "systemd"] {
            shared["\(Packages.repository)/\(name)"] = "/srv/checkout/\(name)"
        }
        machine = try await SystemdMachine.boot(executable: nil, shared: shared)
        try await prepare()
    }

    private func prepare() async throws {
        try await SandboxedMachine.permitLibraries(in: machine)
        try await machine.write("#!/bin/sh\nexec \"$@\"\n", to: "/usr/local/bin/sudo", mode: "755")
        // What the reader brings along. A copy that is begun anew finds the old one.
        let settings = try String(contentsOfFile: shop.settingsPath, encoding: .utf8)
            .replacing("user: loader }", with: "user: loader, ifNotEmpty: truncate }")
        try await machine.write(settings, to: "\(Self.folder)/orders.yaml")
        let script = """
            set -e
            # systemd-run speaks to systemd by the bus.
            systemctl start dbus.socket
            cd \(Self.folder)
            echo '127.0.0.1 db.example' >>/etc/hosts
            cp -r /srv/release/. /srv/checkout/. .
            mkdir -p .build/release
            cp /srv/built .build/release/walrelay
            sha256sum *.deb *.tar.gz >SHA256SUMS
            ssh-keygen -q -t ed25519 -N '' -f key
            ssh-keygen -q -Y sign -n walrelay-release -f key SHA256SUMS
            echo "releases@example $(cat key.pub)" >allowed_signers
            echo secret >password
            """
        try await succeed(script)
    }

    /// Has the reader keep settings of a task in /etc, and beside them some to try by hand.
    func keepSettings() async throws {
        try await succeed(
            """
            cd \(Self.folder)
            install -D -m 644 orders.yaml /etc/walrelay/orders.yaml
            sed -i s/credential:password/password/ orders.yaml
            """
        )
    }

    private func succeed(_ script: String) async throws {
        let path = "export PATH=/usr/local/bin:$PATH\n"
        let output = try await machine.run("/bin/bash", "-c", path + script, limit: Self.limit)
        guard output.status == .code(0) else { throw SupportError(output.stdout + output.stderr) }
    }

    // MARK: Commands

    /// Runs the block's commands; a command that does not do what it promises is an issue.
    func follow(_ block: GuideBlock) async throws {
        var endless: String?
        for command in block.commands {
            let rules = GuideRule.of(command)
            if rules.contains(where: { if case .notRun = $0.effect { true } else { false } }) {
                continue
            }
            guard try await run(command, rules, of: block) else { continue }
            if rules.contains(where: { if case .endless = $0.effect { true } else { false } }) {
                endless = command
            } else {
                try await stop(command, of: block)
            }
        }
        if let endless { try await stop(endless, of: block) }
    }

    /// Runs one; gives whether it goes on.
    private func run(
        _ command: String,
        _ rules: [GuideRule],
        of block: GuideBlock
    ) async throws
        -> Bool
    {
        var line = GuideRule.readings.reduce(command) { $0.replacing($1.0, with: $1.1) }
            .replacing("127.0.0.1:PORT", with: "127.0.0.1:\(shop.port)")
        var code: Int32 = 0
        var printing: [String] = []
        var goesOn = false
        for rule in rules {
            switch rule.effect {
            case .notRun: break
            case .endless, .endlessAlone: goesOn = true
            case .ends(let end, let texts): (code, printing) = (end, printing + texts)
            case .withCredential:
                line =
                    "systemd-run --quiet --pipe --wait --collect -p LoadCredential=password:"
                    + "/etc/credstore/walrelay.orders.password \(line)"
            case .asks: line = "script -qec \(quoted(line)) /dev/null <<<y"
            case .after(let commands): try await succeed(commands)
            case .afterSQL(let text): try await shop.sql(text)
            }
        }
        if goesOn { line = "systemd-run --quiet --unit=endless --same-dir \(line)" }
        let output = try await machine.run(
            "/bin/bash",
            "-c",
            Self.session(line, shop),
            limit: Self.limit
        )
        let text = output.stdout + output.stderr
        // What only a later server knows, the page says in the comment, and an earlier one refuses.
        if let from = command.firstMatch(of: #/# (\d\d) on/#).flatMap({ Int($0.output.1) }),
            from > shop.cluster.version.rawValue
        {
            #expect(output.status != .code(0), "\(block.place): \(command)\n\(text)")
            return false
        }
        #expect(output.status == .code(code), "\(block.place): \(command)\n\(text)")
        for promised in printing {
            #expect(text.contains(promised), "\(block.place): \(command)\n\(text)")
        }
        // systemd takes a task for started once its snapshot has begun.
        let startsUnit = command.contains(#/systemctl (enable --now|start|restart) walrelay@/#)
        if goesOn && command.hasPrefix("walrelay run") || startsUnit { try await streams() }
        return goesOn
    }

    private func streams() async throws {
        try await eventually("the task streams", timeout: .seconds(60)) {
            try await machine.run(
                "curl",
                "-fsS",
                "http://127.0.0.1:\(shop.port)/readyz"
            ).status == .code(0)
        }
    }

    /// Ends what goes on, as the reader does: what was running, ends well.
    private func stop(_ command: String, of block: GuideBlock) async throws {
        let state = try await machine.property("ActiveState", of: "endless.service")
        #expect(state == "active", "\(block.place): \(command)")
        try await machine.systemctl("stop", "endless.service")
        let result = try await machine.property("Result", of: "endless.service")
        #expect(result == "success", "\(block.place): \(command)")
        _ = try await machine.run("systemctl", "reset-failed", "endless.service")
    }

    /// The command in a shell that stands where the last one left off.
    private static func session(_ line: String, _ shop: HardenedShop) -> String {
        """
        export PGPORT=\(shop.cluster.port) HOME=/root PATH=/usr/local/bin:$PATH
        export DEBIAN_FRONTEND=noninteractive
        cd "$(cat /run/walk 2>/dev/null || echo \(folder))"
        trap 'pwd >/run/walk' EXIT
        set -eo pipefail   # so that the page's pipes cannot hide what went wrong
        \(line)
        """
    }

    private func quoted(_ text: String) -> String {
        "'" + text.replacing("'", with: #"'\''"#) + "'"
    }
}
