// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Settings
import Testing

private func error(_ body: () throws -> Void) -> WalrelayError? {
    do {
        try body()
        return nil
    } catch {
        return error as? WalrelayError
    }
}

@Suite struct Secrets {
    private struct Holder: Encodable {
        let secret: Secret
    }

    @Test func `no printed form shows the text`() throws {
        let secret = Secret("hunter2")
        var dumped = ""
        dump(Holder(secret: secret), to: &dumped)
        let encoded = try String(
            decoding: JSONEncoder().encode(Holder(secret: secret)),
            as: UTF8.self
        )
        let forms = [
            "\(secret)", String(reflecting: secret), String(describing: [secret]), dumped, encoded,
            "\(Holder(secret: secret))", "\(Mirror(reflecting: secret).children.map(\.value))",
        ]
        for form in forms { #expect(!form.contains("hunter2")) }
        #expect(secret.reveal() == "hunter2")
    }

    @Test func `no printed form of settings shows a password`() throws {
        let settings = try Draft(
            source: "{ host: h, database: d, password: hunter2 }",
            sink: "{ kind: postgresql, postgresql: { conninfo: 'password=hunter2' } }"
        ).settings()
        var dumped = ""
        dump(settings, to: &dumped)
        #expect(!dumped.contains("hunter2"))
        #expect(!"\(settings)".contains("hunter2"))
    }

    @Test func `no fault shows a password`() {
        let lines = Draft(
            source: """
                { conninfo: "hunter2 \\0", password: [hunter2], passwordFile: x, user: "${P}\\0" }
                """,
            sink:
                "{ kind: kafka, kafka: { bootstrapServers: a, properties: { p: \"hunter2\\0\" } } }"
        ).faults(["P": "hunter2"])
        #expect(lines.count == 7)
        #expect(!lines.joined().contains("hunter2"))
    }
}

@Suite struct Connections {
    @Test func `a password file is read anew each time, without its last newline`() throws {
        try withDirectory { directory in
            let connection = try Settings.parse(
                Draft(source: "{ host: h, database: d, passwordFile: pw }").text,
                baseDirectory: directory,
                environment: [:]
            ).source
            for (text, password) in [
                ("one\n", "one"), ("two", "two"), ("three\r\n", "three"), (" f \n\n", " f \n"),
            ] {
                try write(text, to: directory + "/pw")
                #expect(try connection.resolvePassword(environment: [:]) == password)
            }
        }
    }

    @Test func `a password file that does not serve is an error without its content`() throws {
        try withDirectory { directory in
            let path = directory + "/pw"
            let source = SecretSource.file(path)
            let read = { error { _ = try source.read(environment: [:]) } }
            #expect(
                read()?.message
                    == "The password file \(path) cannot be read: No such file or directory."
            )
            #expect(read()?.code == "settings.secret_file")
            #expect(read()?.exit == .settings)
            try write("\n", to: path)
            #expect(read()?.message == "The password file \(path) is empty.")
            try write("a\u{0}b", to: path)
            #expect(read()?.message == "The password file \(path) is not UTF-8 text.")
            try write(String(repeating: "x", count: 70_000), to: path)
            #expect(
                read()?.message
                    == "The password file \(path) cannot be read: it is larger than 64 KiB."
            )
        }
    }

    @Test func `a credential is a file of systemd's directory`() throws {
        try withDirectory { directory in
            try write("hunter2", to: directory + "/orders.password")
            let connection = try Draft(
                source: "{ host: h, database: d, passwordFile: 'credential:orders.password' }"
            ).settings().source
            let environment = ["CREDENTIALS_DIRECTORY": directory]
            #expect(try connection.resolvePassword(environment: environment) == "hunter2")
            let failure = error { _ = try connection.resolvePassword(environment: [:]) }
            #expect(
                failure?.message
                    == "The credential orders.password cannot be read: CREDENTIALS_DIRECTORY is not"
                    + " set."
            )
        }
    }

    @Test func `libpq is given every setting`() throws {
        try withDirectory { directory in
            try write("pass\n", to: directory + "/key.password")
            let connection = try Settings.parse(
                Draft(
                    source: """
                        { host: "a, b", port: "1,2", database: shop, user: u, password: "${P}",
                          connectTimeout: 1500ms, applicationName: w,
                          tls: { mode: verify-full, rootCertificate: system, certificate: c.crt,
                                 key: /k, keyPasswordFile: key.password, revocationList: r.pem,
                                 minimumVersion: TLSv1.3, channelBinding: require } }
                        """
                ).text,
                baseDirectory: directory,
                environment: ["P": "pw"]
            ).source
            #expect(connection.connectTimeout == .milliseconds(1500))
            #expect(
                try connection.keywords(environment: [:]) == [
                    "application_name": "w", "dbname": "shop", "host": "a,b", "port": "1,2",
                    "user": "u", "target_session_attrs": "primary", "password": "pw",
                    "sslmode": "verify-full", "sslrootcert": "system",
                    "sslcert": "\(directory)/c.crt", "sslkey": "/k", "sslpassword": "pass",
                    "sslcrl": "\(directory)/r.pem", "ssl_min_protocol_version": "TLSv1.3",
                    "channel_binding": "require",
                ]
            )
            #expect(
                try connection.secrets(environment: [:]) == [
                    "password": "pw", "sslpassword": "pass",
                ]
            )
            try write("other", to: directory + "/key.password")
            #expect(try connection.secrets(environment: [:])["sslpassword"] == "other")
        }
    }

    @Test(arguments: [
        ("shop", "shop"), ("it's", "it's"), ("a='b\\", "dbname='a=\\'b\\\\'"),
        ("postgres://h/d", "dbname='postgres://h/d'"),
    ])
    func `a database's name is never taken for a connection string`(
        _ database: String,
        _ keyword: String
    ) throws {
        let connection = Settings.Connection(
            .server(hosts: ["h"], ports: [], database: database, user: nil)
        )
        #expect(try connection.keywords(environment: [:])["dbname"] == keyword)
    }

    @Test func `a connection string is handed over as it stands`() throws {
        let connection = try Draft(source: "{ conninfo: 'postgresql://h/d', passwordFile: /p }")
            .settings().source
        #expect(connection.target == .conninfo(Secret("postgresql://h/d")))
        #expect(connection.password == .file("/p"))
        let plain = Settings.Connection(.conninfo(Secret("service=x")))
        #expect(
            try plain.keywords(environment: [:]) == ["dbname": "service=x"]
        )
    }

    @Test(arguments: [
        (
            "mode: prefer, rootCertificate: ca.pem",
            [
                "rootCertificate does not protect with mode prefer, which may go on without TLS;"
                    + " verify-full does"
            ]
        ),
        (
            "mode: require, revocationList: r.pem",
            [
                "revocationList does not protect with mode require, which verifies no certificate;"
                    + " verify-full does"
            ]
        ),
        (
            "mode: disable, minimumVersion: TLSv1.3, certificate: c, key: k",
            [
                "minimumVersion has no effect with mode disable",
                "certificate has no effect with mode disable",
                "key has no effect with mode disable",
            ]
        ),
        ("mode: disable, channelBinding: prefer", []),
        ("mode: verify-ca, rootCertificate: ca.pem, revocationList: r.pem", []),
    ])
    func `what of TLS does not protect is warned of`(tls: String, warnings: [String]) throws {
        let settings = try Draft(source: "{ host: h, database: d, tls: { \(tls) } }").settings()
        #expect(settings.warnings == warnings.map { "source.tls: \($0)" })
    }
}
