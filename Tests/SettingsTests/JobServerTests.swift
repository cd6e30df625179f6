// SPDX-License-Identifier: Apache-2.0
//
// How a step's server is told: by a datasource's name, or by a JDBC URL.

import ChangeModel
import Foundation
import Settings
import Testing

private func draft(
    _ url: String,
    login: String = #""username":"u","password":"p","#
) -> JobDraft {
    var draft = JobDraft()
    draft.reader =
        "\(login)\"column\":[\"*\"],\"connection\":[{\"table\":[\"t\"],\"jdbcUrl\":\(url)}]"
    return draft
}

private func connection(_ draft: JobDraft) throws -> Settings.Connection {
    let server = try draft.postgreSQLReader().server
    return try draft.job().connection(of: server, in: nil)
}

private func keywords(_ url: String, login: String = "") throws -> [String: String] {
    try connection(draft("\"\(url)\"", login: login)).keywords(environment: [:])
}

@Suite struct JobServers {
    @Test func `a URL gives host, port, database and login`() throws {
        let found = try connection(draft(#"["jdbc:postgresql://db.example:5433/shop"]"#))
        var due = Settings.Connection(
            .server(hosts: ["db.example"], ports: [5433], database: "shop", user: "u")
        )
        due.password = .literal(Secret("p"))
        #expect(found == due)
        #expect(!"\(found)".contains("\"p\""))
    }

    @Test(arguments: [
        ("jdbc:postgresql://h/d", "h", "5432", "d"),
        ("jdbc:postgresql://[::1]:6000/d", "::1", "6000", "d"),
        ("jdbc:postgresql://a,b:6000,[::2]/d", "a,b,::2", "5432,6000,5432", "d"),
        ("jdbc:postgresql:d", "localhost", "5432", "d"),
        ("jdbc:postgresql:/d%20e+f", "localhost", "5432", "d e f"),
        ("jdbc:postgresql://h/?user=u", "h", "5432", "u"),
        ("JDBC:postgresql://h:1/d?", "h", "1", "d"),
    ])
    func `each form of a URL is read`(
        _ url: String,
        _ host: String,
        _ port: String,
        _ database: String
    ) throws {
        let found = try keywords(url)
        #expect(found["host"] == host)
        #expect(found["port"] == port)
        #expect(found["dbname"] == database)
    }

    @Test(arguments: [
        ("ssl=true", ["sslmode": "verify-full"]), ("ssl=false", [:]),
        ("ssl", ["sslmode": "verify-full"]),
        ("ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory", ["sslmode": "require"]),
        ("sslmode=prefer&ssl=true", ["sslmode": "prefer"]),
        ("channelBinding=require", ["channel_binding": "require"]),
        (
            "sslcert=/c&sslkey=/k.pk8&sslpassword=p",
            ["sslmode": "prefer", "sslcert": "/c", "sslkey": "/k.pk8", "sslpassword": "p"]
        ),
        ("sslrootcert=/ca&sslmode=verify-ca", ["sslmode": "verify-ca", "sslrootcert": "/ca"]),
        ("currentSchema=a,b c", ["options": "-c search_path=a,b\\ c"]),
        (
            "options=-c%20statement_timeout=5s&currentSchema=x",
            ["options": "-c statement_timeout=5s -c search_path=x"]
        ),
        ("tcpKeepAlive=true", ["keepalives": "1"]),
        ("targetServerType=preferSecondary", ["target_session_attrs": "prefer-standby"]),
        ("ApplicationName=etl", ["application_name": "etl"]),
        ("user=a%40b&password=x%26y%3D", ["user": "a@b", "password": "x&y="]),
    ])
    func `what means something to libpq is translated`(
        _ query: String,
        _ due: [String: String]
    ) throws {
        let plain = try keywords("jdbc:postgresql://h/d")
        let found = try keywords("jdbc:postgresql://h/d?\(query)")
        #expect(found == plain.merging(due) { $1 })
    }

    @Test func `what steers the driver alone is told`() throws {
        let url =
            #""jdbc:postgresql://h/d?stringtype=unspecified&socketTimeout=30&connectTimeout=5""#
        #expect(
            try draft(url).job().warnings == [
                "line 2: steps[0].parameter.connection[0].jdbcUrl has parameters without effect"
                    + " here: socketTimeout, stringtype"
            ]
        )
        #expect(try connection(draft(url)).connectTimeout == .seconds(5))
    }

    @Test func `several URLs of one database are tried in turn`() throws {
        let urls = #"["jdbc:postgresql://a/d","jdbc:postgresql://a/d","jdbc:postgresql://b:1/d"]"#
        let found = try connection(draft(urls)).keywords(environment: [:])
        #expect(found["host"] == "a,b")
        #expect(found["port"] == "5432,1")
        #expect(found["target_session_attrs"] == "any")
        #expect(
            draft(#"["jdbc:postgresql://a/d","jdbc:postgresql://a/e"]"#).faults() == [
                "j:2:75: steps[0].parameter.connection[0].jdbcUrl: has several URLs that differ in"
                    + " more than host and port: a step has one server"
            ]
        )
    }

    @Test(arguments: [
        ("jdbc:mysql://h/d", "the value is not of the form jdbc:postgresql://host:port/database"),
        ("jdbc:postgresql://h:port/d", "the value has no port from 1 to 65535 behind a host"),
        ("jdbc:postgresql://h:0/d", "the value has no port from 1 to 65535 behind a host"),
        (
            "jdbc:postgresql://h/d?password=a%b",
            "the value has a % that begins no escape such as %20; % itself is %25"
        ),
        (
            "jdbc:postgresql://h/d?sslmode=on",
            "the value has in sslmode none of disable, allow, prefer, require, verify-ca,"
                + " verify-full"
        ),
        (
            "jdbc:postgresql://h/d?connectTimeout=x",
            "the value has in connectTimeout no number of seconds"
        ),
    ])
    func `a URL that cannot be read is told without what it holds`(
        _ url: String,
        _ reason: String
    ) {
        let faults = draft("\"\(url)\"").faults()
        #expect(faults == ["j:2:85: steps[0].parameter.connection[0].jdbcUrl: \(reason)"])
    }

    @Test func `a database is the user's unless it is named`() throws {
        #expect(try keywords("jdbc:postgresql://h/?user=u")["dbname"] == "u")
        #expect(
            draft(#""jdbc:postgresql://h/""#, login: "").faults() == [
                "j:2:45: steps[0].parameter.connection[0].jdbcUrl: the value names no database:"
                    + " jdbc:postgresql://host:port/database"
            ]
        )
    }

    @Test func `entries of connection are tables of one server`() throws {
        var draft = JobDraft()
        draft.reader = """
            "datasource": "s", "table": "a", "column": ["*"],
            "connection": [{"datasource": "s", "table": ["a", "b"]}, {"table": "c"}]
            """
        #expect(try draft.tables().names == ["a", "b", "c"])
        #expect(try draft.postgreSQLReader().server == .datasource("s"))
        draft.reader = """
            "column": ["*"], "connection": [{"datasource": "s", "table": "a"},
            {"datasource": "r", "table": "b"}, {"jdbcUrl": "jdbc:postgresql://h/d", "table": "c"}]
            """
        #expect(
            draft.faults() == [
                "j:3:2: steps[0].parameter.connection[1].datasource: is another server than \"s\": a"
                    + " step has one",
                "j:3:37: steps[0].parameter.connection[2].jdbcUrl: is another server than \"s\": a"
                    + " step has one",
            ]
        )
    }

    @Test func `a login beside a datasource has no effect`() throws {
        var draft = JobDraft()
        draft.reader = #""datasource":"s","username":"u","table":"t","column":["a"]"#
        #expect(
            try draft.job().warnings == [
                "line 2: steps[0].parameter.username has no effect beside a datasource, which has"
                    + " its own"
            ]
        )
    }

    @Test func `a password in a URL is seen, also in a list of them`() throws {
        try withDirectory { directory in
            let path = directory + "/j.json"
            for url in [
                #""jdbc:postgresql://h/d?password=p""#, #"["jdbc:postgresql://h/d?password=p"]"#,
            ] {
                try write(draft(url, login: "").text, to: path, mode: 0o644)
                let warnings = try Job.load(path: path, parameters: [:]).warnings
                #expect(warnings.count == 1)
                #expect(warnings.first?.contains("parameter.connection[0].jdbcUrl") == true)
            }
        }
    }

    @Test(arguments: [
        (0o644, "p", ["steps[0].parameter.password"]), (0o600, "p", []), (0o644, "${pw}", []),
    ])
    func `a password in a document that others can read is warned of`(
        _ mode: Int,
        _ password: String,
        _ named: [String]
    ) throws {
        try withDirectory { directory in
            let path = directory + "/j.json"
            let login = "\"username\":\"u\",\"password\":\"\(password)\","
            try write(
                draft(#""jdbc:postgresql://h/d""#, login: login).text,
                to: path,
                mode: mode
            )
            let parameters = password == "p" ? [:] : ["pw": "x"]
            let warnings = try Job.load(path: path, parameters: parameters).warnings
            let due = named.map {
                "\(path) is readable by everybody and holds a password (\($0)): run chmod o-r, or"
                    + " name a datasource"
            }
            #expect(warnings == due)
        }
    }
}
