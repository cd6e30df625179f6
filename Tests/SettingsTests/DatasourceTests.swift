// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Settings
import Testing

private func parse(
    _ text: String,
    _ environment: [String: String] = [:]
) throws -> Datasources {
    try Datasources.parse(text, file: "d", baseDirectory: "/etc/w", environment: environment)
}

private func faults(_ text: String) -> [String] {
    let error = #expect(throws: WalrelayError.self) { try parse(text) }
    #expect(error?.code == "datasources.invalid")
    #expect(error?.exit == .settings)
    return error?.message.split(separator: "\n").map(String.init) ?? []
}

@Suite struct DatasourceFiles {
    private static let two = """
        shop: { host: h, database: d, user: u, password: "${PW}", tls: { mode: require } }
        "my-dwh": { conninfo: "service=dwh", passwordFile: dwh.pw }
        """

    @Test(arguments: [two, "datasources:\n  " + two.replacing("\n", with: "\n  ")])
    func `each name is a connection as settings have it`(_ text: String) throws {
        let datasources = try parse(text, ["PW": "secret"])
        #expect(datasources.connections.keys.sorted() == ["my-dwh", "shop"])
        var shop = Settings.Connection(
            .server(hosts: ["h"], ports: [], database: "d", user: "u")
        )
        shop.password = .literal(Secret("secret"))
        shop.tls = Settings.TLS()
        shop.tls?.mode = .require
        #expect(try datasources.connection(named: "shop") == shop)
        var warehouse = Settings.Connection(.conninfo(Secret("service=dwh")))
        warehouse.password = .file("/etc/w/dwh.pw")
        #expect(try datasources.connection(named: "my-dwh") == warehouse)
    }

    @Test func `a datasource may have the name of the key above all`() throws {
        let datasources = try parse("datasources: { datasources: { host: h, database: d } }")
        #expect(datasources.connections.keys.sorted() == ["datasources"])
        let beside = try parse(
            "datasources: { host: h, database: d }\nb: { host: h, database: d }"
        )
        #expect(beside.connections.keys.sorted() == ["b", "datasources"])
    }

    @Test func `an empty file has no datasources`() throws {
        #expect(try parse("").connections.isEmpty)
        #expect(try parse("datasources:\n").connections.isEmpty)
    }

    @Test func `faults of all datasources come at once`() {
        #expect(
            faults("a: { hots: h, database: d }\nb: 5\nc:\na: { host: h, database: d }") == [
                "d:1:4: a.host is missing: a host, or conninfo in its place, is required",
                "d:1:6: unknown key \"hots\" in a (did you mean \"host\"?)",
                "d:2:4: b must be a section of keys and values, not a text",
                "d:3:3: c.host is missing: a host, or conninfo in its place, is required",
                "d:3:3: c.database is missing: a database is required",
                "d:4:1: the key \"a\" stands twice, first in line 1",
            ]
        )
    }

    @Test func `an unknown datasource is told with its place, what is known and what is near`()
        throws
    {
        var draft = JobDraft()
        draft.reader = #""datasource": "shpo", "table": "t", "column": ["a"]"#
        let job = try draft.job()
        let server = try draft.postgreSQLReader().server
        let datasources = try parse(Self.two, ["PW": "x"])
        var error = #expect(throws: WalrelayError.self) {
            try job.connection(of: server, in: datasources)
        }
        #expect(error?.code == "job.unknown_datasource")
        #expect(error?.exit == .settings)
        #expect(
            error?.message
                == "j:2:1: steps[0].parameter.datasource: The datasource \"shpo\" is not in d (did"
                + " you mean \"shop\"?); known are my-dwh, shop."
        )
        #expect(error?.hint == "add it to d, or name another file with --datasources")
        error = #expect(throws: WalrelayError.self) { try job.connection(of: server, in: nil) }
        #expect(error?.hint == "name a file that has it with --datasources")
    }

    @Test func `a file that cannot be had is named with the reason`() {
        let error = #expect(throws: WalrelayError.self) {
            try Datasources.load(path: "/none/d.yaml", environment: [:])
        }
        #expect(error?.code == "datasources.unreadable")
        #expect(
            error?.message
                == "The datasources /none/d.yaml cannot be read: No such file or directory."
        )
    }

    @Test func `a password in a file that others can read is warned of`() throws {
        try withDirectory { directory in
            let path = directory + "/d.yaml"
            let text = "a: { host: h, database: d, password: p }"
            try write(text, to: path, mode: 0o644)
            #expect(try Datasources.load(path: path, environment: [:]).warnings.count == 1)
            try write(text, to: path, mode: 0o600)
            #expect(try Datasources.load(path: path, environment: [:]).warnings == [])
        }
    }
}
