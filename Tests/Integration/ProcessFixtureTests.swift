// SPDX-License-Identifier: Apache-2.0
//
// The fixtures that start processes: what they promise about ends, limits and output.
import Foundation
import Glibc
import Support
import Testing

struct ProcessFixtureTests {
    @Test
    func `a program gives its status and both outputs`() throws {
        let output = try runProcess(
            "/bin/sh",
            ["-c", "cat; echo err >&2; exit 65"],
            input: "in"
        )
        #expect(output.status == .code(65))
        #expect(output.stdout == "in")
        #expect(output.stderr == "err\n")
        #expect(try runProcess("/bin/sh", ["-c", "kill -9 $$"]).status == .signal(9))
    }

    @Test
    func `a program that does not end is killed at its limit`() throws {
        let directory = try TemporaryDirectory()
        let script = "echo $$ > pid; echo started; sleep 600"
        let error = #expect(throws: SupportError.self) {
            try runProcess(
                "/bin/sh",
                ["-c", script],
                workingDirectory: directory.path,
                limit: .seconds(5)
            )
        }
        #expect(error?.description.contains("started") == true)
        let text = try String(contentsOfFile: directory.file("pid"), encoding: .utf8)
        let pid = try #require(pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(kill(pid, 0) == -1)
    }

    @Test
    func `no descriptor of the tests reaches a child`() throws {
        let output = try runProcess("/bin/sh", ["-c", "ls /proc/$$/fd"])
        #expect(output.stdout.split(separator: "\n") == ["0", "1", "2"])
    }

    @Test
    func `a daemon is observed until its end`() async throws {
        let script = """
            trap 'echo bye >&2; exit 3' TERM
            echo "ready $WHO" >&2
            while :; do sleep 0.01; done
            """
        let daemon = try DaemonProcess(
            ["-c", script],
            environment: ["WHO": "me"],
            executable: "/bin/sh"
        )
        try await daemon.waitForLog("ready me")
        #expect(daemon.status == nil)
        #expect(try await daemon.stop() == .code(3))
        #expect(daemon.stderr == "ready me\nbye\n")
        #expect(daemon.peakResidentBytes > 100_000)
    }

    @Test
    func `a daemon that ends too early is told with its output`() async throws {
        let daemon = try DaemonProcess(["-c", "echo why >&2; exit 78"], executable: "/bin/sh")
        let error = await #expect(throws: SupportError.self) {
            try await daemon.waitForLog("ready")
        }
        #expect(error?.description.contains("exit 78") == true)
        #expect(error?.description.contains("why") == true)
    }

    @Test
    func `the built executable is found`() async throws {
        let daemon = try DaemonProcess(["--help"])
        #expect(try await daemon.wait() != .code(127))
    }

    @Test
    func `a condition that never holds says so`() async throws {
        let error = await #expect(throws: SupportError.self) {
            try await eventually("the moon", timeout: .milliseconds(20)) { false }
        }
        #expect(error?.description.contains("the moon did not hold") == true)
    }

    @Test
    func `passwords are asked for where the test wants them`() async throws {
        let cluster = try await PostgresCluster.start(authentication: .scram)
        try cluster.psql("CREATE ROLE cdc LOGIN REPLICATION PASSWORD 'right'")
        func login(_ password: String) throws -> ProcessOutput {
            var environment = cluster.environment
            environment["PGCONNECT_TIMEOUT"] = "5"
            let conninfo = cluster.conninfo(user: "cdc", password: password)
            return try runProcess(
                cluster.program("psql"),
                ["-Xw", "-c", "SELECT 1", conninfo],
                environment: environment
            )
        }
        #expect(try login("right").status == .code(0))
        #expect(try login("wrong").stderr.contains("password authentication failed"))
    }
}
