// SPDX-License-Identifier: Apache-2.0
//
// Texts of errors as they are served: no absolute path is left, and nothing else is lost.

import ChangeModel
import Pipeline
import Testing

@testable import Operations

@Suite struct WithoutPathsTests {
    @Test(arguments: [
        (
            "The password file /etc/walrelay/pw cannot be read.",
            "The password file pw cannot be read."
        ),
        ("/var/lib/events", "events"), ("/var/lib/events/", "events"),
        ("in /var/lib/events.", "in events."),
        ("socket \"/var/run/my pg/.s.PGSQL.5432\" failed", "socket \".s.PGSQL.5432\" failed"),
        ("file '/a b/c d' is", "file 'c d' is"), ("it's /a/b, is it?", "it's b, is it?"),
        ("(/a/b)", "(b)"), ("host=/tmp port=1", "host=tmp port=1"),
        ("to /tmp:5432: no", "to tmp:5432: no"),
        ("/a/b: /c/d", "b: d"), ("/a/o.yaml:3:1: bad", "o.yaml:3:1: bad"), ("“/a/ü/b” x", "“b” x"),
        ("a quote \"/a/b\nand /c/d", "a quote \"b\nand d"),
        ("chown cdc /srv/x && ls", "chown cdc x && ls"),
        ("passwordFile:/a/b", "passwordFile:b"), ("/a//b", "b"),
        ("--config=/a/b.yaml", "--config=b.yaml"),
    ])
    func `an absolute path is cut down to its last part`(text: String, served: String) {
        #expect(text.withoutPaths == served)
        #expect(served.withoutPaths == served)
    }

    @Test(arguments: [
        "", "/", "a / b", "and/or", "16/B374D848", "at 0/0", "https://example.org/a/b?c",
        "postgresql://h:1/db", "base/16384/2601", "../a/b", "~/.pgpass", "1/2", "// x",
    ])
    func `what is no absolute path stays`(text: String) {
        #expect(text.withoutPaths == text)
    }

    @Test func `nothing that is served names a path`() {
        let board = makeBoard()
        board.update { $0.sink.details["file"] = "/srv/hidden/000000000001.ndjson.open" }
        board.record(
            WalrelayError(
                "sink.ndjson.write",
                exit: .unreachable,
                "cannot write /srv/hidden/000000000001.ndjson.open: No space left on device",
                hint: "free space in \"/srv/hidden\""
            ),
            phase: .failed
        )
        for path in HealthRoutes.paths {
            let reply = HealthRoutes(board: board)
                .reply(to: HTTPRequest(method: "GET", path: path, host: "h"))
            #expect(!reply.body.contains("/srv"), "\(path)")
            #expect(!reply.body.contains("hidden/"), "\(path)")
        }
        #expect(board.status.lastError?.message.contains("/srv/hidden/0") == true)
    }
}
