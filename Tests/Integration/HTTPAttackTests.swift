// SPDX-License-Identifier: Apache-2.0
//
// Clients that mean harm, against a running daemon: after each attack, and during those that last,
// the probes are answered, changes flow, memory is bounded and no descriptor is left over.
import Foundation
import Glibc
import Support
import Testing

@Suite(.serialized)
struct HTTPAttackTests {
    /// A daemon that streams, and what it was like before it was attacked.
    private struct Target: Sendable {
        let task: OddTask
        let cluster: PostgresCluster
        let daemon: DaemonProcess
        let wire: HTTPWire
        let descriptors: Int

        init(_ name: String) async throws {
            var (task, cluster) = try await SharedCluster.trusting.task(name)
            let port = try FreePort.find()
            task.httpPort = port
            let (daemon, wire) = (try await task.stream(), HTTPWire(port: port))
            try await daemon.until { try wire.get("/readyz").code == 200 }
            self.task = task
            self.cluster = cluster
            self.daemon = daemon
            self.wire = wire
            descriptors = try Self.descriptors(of: daemon)
        }

        static func descriptors(of daemon: DaemonProcess) throws -> Int {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(daemon.pid)/fd").count
        }

        /// Expects an answer before the time of clients that came since then is up, and a change to
        /// come through.
        func expectService(
            change id: Int,
            since arrival: ContinuousClock.Instant? = nil
        ) async throws {
            #expect(try await onThread { try wire.get("/healthz").text.hasSuffix("\r\n\r\nok\n") })
            #expect(try await onThread { try wire.get("/readyz").code == 200 })
            // The daemon gives a client ten seconds: nobody's end was waited for.
            if let arrival { #expect(ContinuousClock.now - arrival < .seconds(10)) }
            try cluster.psql("INSERT INTO orders VALUES (\(id))", database: task.database)
            try await daemon.until(.seconds(30)) { try task.ids().contains("\(id)") }
        }

        /// Expects that the attack has left nothing.
        func expectUnharmed(_ what: String) async throws {
            try await expectService(change: 1_000)
            try await daemon.until(.seconds(30), "no descriptor left over") {
                try Self.descriptors(of: daemon) <= descriptors
            }
            #expect(MemoryBound.holds(daemon.peakResidentBytes, what))
            #expect(try await daemon.stop() == .code(0))
        }

        func residentBytes() throws -> Int {
            let status = try String(contentsOfFile: "/proc/\(daemon.pid)/status", encoding: .utf8)
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
            return (Int(line?.filter(\.isNumber) ?? "") ?? 0) << 10
        }
    }

    @Test
    func `ten thousand connections in turn leave nothing behind`() async throws {
        let target = try await Target("http_turns")
        @Sendable func connect(_ times: Int) throws {
            let paths = ["/healthz", "/readyz", "/status", "/history", "/metrics", "/", "/nothing"]
            for turn in 0..<times {
                let path = paths[turn % paths.count]
                let code = try target.wire.get(path).code
                guard code == (path == "/nothing" ? 404 : 200) else {
                    throw SupportError("\(path): \(code ?? 0) at connection \(turn)")
                }
            }
        }
        // What is made once, such as buffers and tables, is not counted.
        try await onThread { try connect(500) }
        let before = try target.residentBytes()
        try await onThread { try connect(10_000) }
        let growth = try target.residentBytes() - before
        print("10,000 connections: \(growth >> 10) KiB more than before")
        #expect(growth < 4 << 20)
        try await target.expectUnharmed("10,000 connections in turn")
    }

    @Test
    func `of five hundred at once each is answered or turned away`() async throws {
        let target = try await Target("http_crowd")
        let codes = try await onThread {
            let clients = try (0..<500).map { _ in try target.wire.connect() }
            defer { for descriptor in clients { close(descriptor) } }
            let request = Array(
                "GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".utf8
            )
            for descriptor in clients { HTTPWire.send(request, to: descriptor) }
            return clients.map { HTTPWire.receive(from: $0).map { $0.code ?? 0 } }
        }
        // One whose place was taken may lose the 503 to the bytes that it sent after it.
        #expect(Set(codes).isSubset(of: [200, 503, 0]))
        #expect(codes.count { $0 == 200 } >= 64)
        try await target.expectUnharmed("500 connections at once")
    }

    @Test
    func `clients that are slow, silent or do not read keep nobody out`() async throws {
        let target = try await Target("http_slow")
        let wire = target.wire
        var arrival = ContinuousClock.now
        let silent = try (0..<100).map { _ in try wire.connect() }
        let begun = try (0..<100).map { _ in
            let descriptor = try wire.connect()
            HTTPWire.send(Array("GET /status HTTP/1.1\r\nHost: ".utf8), to: descriptor)
            return descriptor
        }
        defer { for descriptor in silent + begun { close(descriptor) } }
        try await target.expectService(change: 10, since: arrival)
        let page = Array("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".utf8)
        arrival = .now
        let deaf = try (0..<100).map { _ in
            let descriptor = try wire.connect()
            HTTPWire.send([UInt8](repeatElement(page, count: 100).joined()), to: descriptor)
            return descriptor
        }
        defer { for descriptor in deaf { close(descriptor) } }
        try await target.expectService(change: 11, since: arrival)
        // A byte at a time: each in time, and all together not.
        let last = try await onThread {
            let descriptor = try wire.connect()
            defer { close(descriptor) }
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            for byte in repeatElement(UInt8(ascii: "x"), count: 300) {
                guard HTTPWire.send([byte], to: descriptor) == 1 else { break }
                if poll(&wait, 1, 100) == 1 { break }
            }
            return HTTPWire.receive(from: descriptor)?.code
        }
        #expect(last == 408)
        try await target.expectUnharmed("300 slow clients")
    }

    @Test
    func `requests that are too large are refused without being kept`() async throws {
        let target = try await Target("http_large")
        let long = [UInt8](repeating: UInt8(ascii: "a"), count: 4 << 20)
        let start = "GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        let attacks: [(Int, [UInt8])] = [
            (414, Array("GET /".utf8) + long),
            (431, Array((start + "X: ").utf8) + long),
            (431, Array((start + String(repeating: "X: a\r\n", count: 1_000)).utf8)),
            (413, Array((start + "Content-Length: \(1 << 40)\r\n\r\n").utf8) + long),
            (413, Array((start + "Transfer-Encoding: chunked\r\n\r\n400000\r\n").utf8) + long),
        ]
        try await onThread {
            for _ in 0..<10 {
                for (code, bytes) in attacks {
                    // The daemon takes no more of a long one than it has to; the reply may be lost
                    // to a client that goes on sending when it has closed.
                    let found = try target.wire.exchange(bytes).code
                    #expect(found == code || found == nil && bytes.count > long.count)
                }
            }
            #expect(try target.wire.exchange(attacks[2].1).code == 431)
        }
        try await target.expectUnharmed("200 MiB of requests that are too large")
    }

    @Test
    func `nonsense is refused in order`() async throws {
        let target = try await Target("http_nonsense")
        var random = SeededGenerator()
        print("seed \(random.seed)")
        let request = Array("GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nX: y\r\n\r\n".utf8)
        let attacks = (0..<3_000).map { turn in
            guard turn % 2 == 0 else {
                return (0..<Int.random(in: 0...300, using: &random)).map { _ in
                    UInt8.random(in: .min ... .max, using: &random)
                }
            }
            var bytes = request
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] =
                    UInt8.random(in: .min ... .max, using: &random)
            }
            return bytes
        }
        let codes = try await onThread {
            try attacks.map { try target.wire.exchange($0, endsInput: true).code ?? 0 }
        }
        #expect(Set(codes).isSubset(of: [0, 200, 400, 404, 405, 413, 421, 431, 505]))
        #expect(codes.count { $0 == 400 } > 2_000)
        try await target.expectUnharmed("3,000 nonsensical requests")
    }

    @Test
    func `another client keeps its connection, and is told what is wrong`() async throws {
        let target = try await Target("http_curl")
        let url = "http://localhost:\(target.wire.port)"
        func curl(_ arguments: String...) async throws -> (stdout: String, stderr: String) {
            let output = try await onThread {
                try runProcess("/usr/bin/curl", ["-sS", "--max-time", "30"] + arguments)
            }
            return (output.stdout, output.stderr)
        }
        let kept = try await curl("-v", "\(url)/healthz", "\(url)/readyz", "\(url)/healthz")
        #expect(kept.stdout == "ok\nok\nok\n")
        #expect(kept.stderr.components(separatedBy: "Re-using existing connection").count == 3)
        let code = ["-o", "/dev/null", "-w", "%{http_code}"]
        func ask(_ arguments: String...) async throws -> String {
            try await onThread {
                try runProcess(
                    "/usr/bin/curl",
                    ["-sS", "--max-time", "30"] + code + arguments
                ).stdout
            }
        }
        #expect(try await ask("-d", "x=1", "\(url)/status") == "405")
        #expect(try await ask("-X", "GET", "-d", "x=1", "\(url)/status") == "413")
        let large = String(repeating: "a", count: 20_000)
        #expect(try await ask("-H", "X: \(large)", "\(url)/status") == "431")
        #expect(try await ask("\(url)/\(large)") == "414")
        #expect(try await ask("-0", "\(url)/status") == "200")
        #expect(try await ask("-I", "\(url)/status") == "200")
        #expect(try await ask("-H", "Host: evil.example", "\(url)/status") == "421")
        try await target.expectUnharmed("curl")
    }
}
