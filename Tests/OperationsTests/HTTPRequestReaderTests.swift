// SPDX-License-Identifier: Apache-2.0
//
// From bytes to requests: what is read, what is refused and with which code, and that neither the
// way the bytes are cut nor their number changes anything.

import Testing

@testable import Operations

@Suite struct HTTPRequestReaderTests {
    /// What came of some bytes: requests, and the refusal that ended them.
    struct Outcome: Equatable {
        var requests: [HTTPRequest] = []
        var refusal: HTTPRefusal?
    }

    /// Reads bytes that come in chunks of at most the given sizes, in turn.
    static func read(_ bytes: [UInt8], chunks: [Int] = [.max]) -> Outcome {
        var reader = HTTPRequestReader()
        var outcome = Outcome()
        var (start, turn) = (0, 0)
        do {
            while true {
                while let request = try reader.next() { outcome.requests.append(request) }
                guard start < bytes.count else { return outcome }
                let end = min(bytes.count, start + min(chunks[turn % chunks.count], reader.room))
                bytes[start..<end].withUnsafeBytes { reader.append($0) }
                (start, turn) = (end, turn + 1)
            }
        } catch {
            outcome.refusal = error
            return outcome
        }
    }

    static func read(_ text: String) -> Outcome { read(Array(text.utf8)) }

    private static func get(_ path: String, host: String? = "h") -> HTTPRequest {
        HTTPRequest(method: "GET", path: path, host: host)
    }

    @Test func `the parts of a head that an answer depends on are read`() {
        let outcome = Self.read(
            "HEAD /status?pretty=1 HTTP/1.1\r\nHOST: \t db:8085 \r\nX: \u{e9}\r\nX-Empty:\r\n"
                + "authorization: Bearer abc\r\nConnection: upgrade, Close\r\n\r\n"
        )
        var request = HTTPRequest(method: "HEAD", path: "/status", host: "db:8085")
        request.authorization = "Bearer abc"
        request.isLast = true
        #expect(outcome == Outcome(requests: [request]))
    }

    @Test(arguments: [
        (
            "GET http://db:1/metrics?x HTTP/1.1\r\nHost: other\r\n\r\n",
            get("/metrics", host: "db:1")
        ),
        ("GET HTTPS://db HTTP/1.1\r\nHost: other\r\n\r\n", get("/", host: "db")),
        ("GET ?x HTTP/1.1\r\nHost: h\r\n\r\n", get("/")),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", get("/")),
        ("GET / HTTP/1.7\r\nHost: h\r\n\r\n", get("/")),
        ("GET /%2e%2e/x HTTP/1.1\r\nHost: h\r\n\r\n", get("/%2e%2e/x")),
        ("GET / HTTP/1.1\r\nHost:\r\nContent-Length: 000\r\n\r\n", get("/", host: "")),
        ("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n", get("/")),
    ])
    func `heads that the standard allows are read`(text: String, request: HTTPRequest) {
        #expect(Self.read(text) == Outcome(requests: [request]))
    }

    @Test(arguments: [
        "Content-Length: 1", "Content-Length: 99999999999999999999999999",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: \u{b}gzip, chunked".filter { $0 != "\u{b}" },
    ])
    func `a body ends the connection`(header: String) {
        let outcome = Self.read("POST / HTTP/1.1\r\nHost: h\r\n\(header)\r\n\r\n")
        #expect(outcome.requests.map(\.hasBody) == [true])
        #expect(outcome.requests.map(\.isLast) == [true])
    }

    @Test func `an old client needs no host and gets one answer`() {
        let outcome = Self.read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        #expect(outcome.requests.map(\.isLast) == [true])
        #expect(outcome.requests.map(\.host) == [nil])
    }

    @Test func `requests that come together are read one by one`() {
        let one = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
        let two = "GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
        #expect(
            Self.read(one + two + "GET") == Outcome(requests: [Self.get("/a"), Self.get("/b")])
        )
    }

    @Test(arguments: [
        // Request lines.
        "GET /\r\n", "GET  / HTTP/1.1\r\n", "GET / HTTP/1.1 \r\n", " GET / HTTP/1.1\r\n",
        "GET\t/ HTTP/1.1\r\n", "GET / http/1.1\r\n", "GET / HTTP/1\r\n", "GET / HTTP/11\r\n",
        "GET / HTTP/x.1\r\n", "G(T / HTTP/1.1\r\n", "GET /# HTTP/1.1\r\n",
        "GET /\u{e9} HTTP/1.1\r\n",
        "GET http:// HTTP/1.1\r\n", "GET http://u@h/ HTTP/1.1\r\n", "/ HTTP/1.1\r\n",
        // Ends of lines and control characters, each at its first byte.
        "GET / HTTP/1.1\n", "GET / HTTP/1.1\rX", "GET / HTTP/1.1\r\r\n", "\n", "\0", "\u{16}\u{3}",
        "GET /\u{7f}", "GET / HTTP/1.1\r\nX: \u{1}", "GET / HTTP/1.1\r\nHost: h\r\n\n",
        // Headers.
        "GET / HTTP/1.1\r\nX\r\n", "GET / HTTP/1.1\r\n: x\r\n", "GET / HTTP/1.1\r\nX : x\r\n",
        "GET / HTTP/1.1\r\nX: x\r\n folded\r\n", "GET / HTTP/1.1\r\nX: x\r\n\tfolded\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n", "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nAuthorization: a\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 0\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ])
    func `what is malformed is refused as soon as it can be told`(text: String) {
        let outcome = Self.read(text)
        #expect(outcome.requests == [])
        #expect(outcome.refusal?.code == 400)
    }

    @Test(arguments: ["PRI * HTTP/2.0\r\n", "GET / HTTP/0.9\r\n", "GET / HTTP/3.0\r\n"])
    func `another version is 505`(text: String) {
        #expect(Self.read(text).refusal == .unknownVersion)
    }

    @Test func `a head may have exactly so many bytes and headers`() {
        let start = "GET / HTTP/1.1\r\nHost: h\r\nX: "
        let fill = String(repeating: "x", count: HTTPLimits.headBytes - start.utf8.count - 4)
        #expect(Self.read(start + fill + "\r\n\r\n") == Outcome(requests: [Self.get("/")]))
        #expect(Self.read(start + fill + "x\r\n\r\n").refusal == .headTooLarge)
        let headers = Array(repeating: "X:\r\n", count: HTTPLimits.headerCount - 1).joined()
        let counted = "GET / HTTP/1.1\r\nHost: h\r\n" + headers
        #expect(Self.read(counted + "\r\n") == Outcome(requests: [Self.get("/")]))
        #expect(Self.read(counted + "X:\r\n\r\n").refusal == .tooManyHeaders)
    }

    @Test func `a request line that never ends is 414`() {
        let line = Array("GET /".utf8) + [UInt8](repeating: 0x61, count: HTTPLimits.headBytes)
        #expect(Self.read(line).refusal == .targetTooLong)
        #expect(
            Self.read(Array(repeating: "\r\n", count: 10_000).joined()).refusal == .targetTooLong
        )
    }

    @Test func `the way the bytes are cut changes nothing`() {
        var random = SystemRandomNumberGenerator()
        let pieces = [
            "GET / HTTP/1.1\r\n", "Host: h\r\n", "\r\n", "\r", "\n", "X: y\r\n",
            "HEAD /a HTTP/1.0\r\n",
            " ", ":", "\0", "é", "Content-Length: 3\r\n", "Connection: close\r\n", "\r\n\r\n",
        ]
        for _ in 0..<3_000 {
            let count = Int.random(in: 1...12, using: &random)
            let text = (0..<count).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            let bytes = Array(("GET / HTTP/1.1\r\nHost: h\r\n" + text).utf8)
            let sizes = (0..<5).map { _ in Int.random(in: 1...9, using: &random) }
            #expect(Self.read(bytes) == Self.read(bytes, chunks: [1]), "\(text.debugDescription)")
            #expect(Self.read(bytes) == Self.read(bytes, chunks: sizes), "\(text.debugDescription)")
        }
    }
}
