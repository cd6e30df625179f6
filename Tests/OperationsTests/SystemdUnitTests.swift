// SPDX-License-Identifier: Apache-2.0
//
// systemd/walrelay@.service, as systemd itself reads it, and against the contract's exit codes.

import ChangeModel
import Foundation
import Testing

@Suite struct SystemdUnitTests {
    private static let unit = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "systemd/walrelay@.service")

    private static let analyzer = "/usr/bin/systemd-analyze"

    private func values(of key: String) throws -> [String] {
        try String(contentsOf: Self.unit, encoding: .utf8).split(separator: "\n")
            .filter { $0.hasPrefix(key + "=") }.map { String($0.dropFirst(key.count + 1)) }
    }

    @Test func `what a restart would only repeat is not restarted`() throws {
        let codes: [ExitCode] = [
            .usage, .refused, .checkpointMismatch, .prerequisite, .settings,
        ]
        let expected = codes.map { String($0.rawValue) }.joined(separator: " ")
        #expect(try values(of: "RestartPreventExitStatus") == [expected])
        #expect(try values(of: "Restart") == ["on-failure"])
    }

    @Test func `the unit is told of readiness and watched`() throws {
        #expect(try values(of: "Type") == ["notify"])
        #expect(try values(of: "WatchdogSec") == ["60s"])
        #expect(
            try values(of: "ExecStart") == [
                "/usr/bin/walrelay run --config /etc/walrelay/%i.yaml"
            ]
        )
    }

    @Test(
        .enabled(
            if: FileManager.default.isExecutableFile(atPath: analyzer),
            "systemd-analyze is not installed (Debian: apt-get install systemd)"
        )
    )
    func `systemd finds no fault and little exposure`() async throws {
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "walrelay-unit-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        // verify wants the executable to exist.
        let text = try String(contentsOf: Self.unit, encoding: .utf8)
            .replacing("/usr/bin/walrelay", with: "/bin/true")
        let copy = folder.appending(path: "walrelay@.service")
        try text.write(to: copy, atomically: true, encoding: .utf8)
        // verify ends with 0 whatever it finds: what it prints is the verdict.
        let instance = folder.appending(path: "walrelay@orders.service").path
        let verdict = try await run(["verify", "--man=no", instance])
        #expect(verdict.output == "")
        let security = try await run(["security", "--offline=true", "--threshold=12", copy.path])
        #expect(security.status == 0, "\(security.output)")
    }

    @Test func `the sandbox is as narrow as the threat model says`() throws {
        for (key, expected) in [
            ("DynamicUser", ["yes"]), ("NoNewPrivileges", ["yes"]), ("CapabilityBoundingSet", [""]),
            ("ProtectSystem", ["strict"]), ("PrivateUsers", ["yes"]), ("NoExecPaths", ["/"]),
            ("MemoryDenyWriteExecute", ["yes"]), ("ProcSubset", ["pid"]), ("LimitCORE", ["0"]),
            ("RestrictAddressFamilies", ["AF_UNIX AF_INET AF_INET6"]), ("UMask", ["0077"]),
            ("StateDirectoryMode", ["0700"]), ("SystemCallArchitectures", ["native"]),
        ] {
            #expect(try values(of: key) == expected, "\(key)")
        }
        let filter = try values(of: "SystemCallFilter")
        // An allow list: the first line decides that.
        #expect(filter.first == "@system-service")
        #expect(filter.contains { $0.hasPrefix("~@privileged @resources @setuid ") })
        #expect(try values(of: "AmbientCapabilities") == [""])
        #expect(try values(of: "ReadWritePaths") == [])
    }

    private func run(_ arguments: [String]) async throws -> (status: Int32, output: String) {
        try await blocking {
            let process = Process()
            process.executableURL = URL(filePath: Self.analyzer)
            process.arguments = arguments
            let pipe = Pipe()
            process.standardOutput = pipe
            process.standardError = pipe
            try process.run()
            let output = pipe.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            return (process.terminationStatus, String(decoding: output, as: UTF8.self))
        }
    }
}
