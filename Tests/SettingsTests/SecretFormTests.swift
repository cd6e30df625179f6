// SPDX-License-Identifier: Apache-2.0
//
// No printed form of settings, datasources and jobs holds a password, and files that others may
// read are told.

import Foundation
import Support
import Testing

@testable import Settings

@Suite struct SecretFormTests {
    private static let secret = SecretCanary("dump", middle: "-")

    private func expectHidden<Value>(_ value: Value, at location: SourceLocation = #_sourceLocation)
    {
        var dumped = ""
        dump(value, to: &dumped)
        for text in [
            dumped, "\(value)", String(reflecting: value), "\(Mirror(reflecting: value).children)",
        ] {
            let trace = Self.secret.trace(in: text)
            #expect(trace == nil, "\(trace ?? "")", sourceLocation: location)
        }
    }

    @Test func `settings print no password in any form`() throws {
        for source in [
            "host: h, database: d, password: '\(Self.secret.text)'",
            "conninfo: 'host=h password=\(Self.secret.text)'",
        ] {
            let settings = try Settings.parse(
                """
                task: t
                source: { \(source) }
                tables: { include: [t] }
                sink:
                  kind: kafka
                  kafka:
                    bootstrapServers: b:1
                    properties: { sasl.password: '\(Self.secret.text)' }
                """,
                baseDirectory: "/",
                environment: [:]
            )
            expectHidden(settings)
            expectHidden([settings.source])
        }
    }

    @Test func `datasources and jobs print no password in any form`() throws {
        let datasources = try Datasources.parse(
            """
            a: { host: h, database: d, password: '\(Self.secret.text)' }
            b: { conninfo: 'postgres://u:\(Self.secret.text)@h/d' }
            """,
            baseDirectory: "/",
            environment: [:]
        )
        expectHidden(datasources)
        let job = try Job.parse(
            """
            { "type": "job", "version": "2.0", "steps": [
            { "stepType": "postgresql", "name": "r", "category": "reader", "parameter": {
            "jdbcUrl": "jdbc:postgresql://h/d?user=u&password=\(Self.secret.text)",
            "table": "t", "column": ["*"] } },
            { "stepType": "postgresql", "name": "w", "category": "writer", "parameter": {
            "jdbcUrl": "jdbc:postgresql://h/d", "username": "u", "password": "\(Self.secret.text)",
            "table": "t", "column": ["*"] } } ],
            "order": { "hops": [ { "from": "r", "to": "w" } ] } }
            """,
            baseDirectory: "/",
            parameters: [:]
        )
        expectHidden(job)
    }

    @Test(arguments: [(0o600, false), (0o640, false), (0o644, true), (0o604, true)])
    func `a password file that everybody can read is told`(mode: Int, isTold: Bool) throws {
        let files = try TemporaryDirectory()
        for name in ["own", "target", "key"] {
            let path = try files.write(Self.secret.text, to: name)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        }
        let path = try files.write(
            """
            task: t
            source:
              { host: h, database: d, passwordFile: own,
                tls: { certificate: c, key: k, keyPasswordFile: key } }
            tables: { include: [t] }
            sink: { kind: postgresql, postgresql: { host: h, database: e, passwordFile: target } }
            """,
            to: "s.yaml"
        )
        let warnings = try Settings.load(path: path, environment: [:]).warnings
            .filter { $0.contains("readable by everybody") }
        #expect(warnings.count == (isTold ? 3 : 0), "\(warnings)")
        if isTold {
            #expect(warnings[0].contains(files.file("own")) && warnings[0].contains("chmod"))
        }
    }
}
