// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Settings
import Testing

private func error(loading path: String) -> WalrelayError? {
    do {
        _ = try Settings.load(path: path, environment: [:])
        return nil
    } catch {
        return error
    }
}

@Suite struct Loading {
    @Test func `a file that cannot be had is named with the reason`() throws {
        try withDirectory { directory in
            let missing = error(loading: directory + "/none.yaml")
            #expect(missing?.code == "settings.unreadable")
            #expect(missing?.exit == .settings)
            #expect(
                missing?.message
                    == "The settings file \(directory)/none.yaml cannot be read: No such file or"
                    + " directory."
            )
            #expect(
                error(loading: directory)?.message
                    == "The settings file \(directory) cannot be read: Is a directory."
            )
            let large = directory + "/large.yaml"
            try write(String(repeating: "#", count: 1 << 20) + "\n", to: large)
            #expect(
                error(loading: large)?.message
                    == "The settings file \(large) cannot be read: it is larger than 1024 KiB."
            )
        }
    }

    @Test func `bytes that are not UTF-8 have a line and a column`() throws {
        try withDirectory { directory in
            let path = directory + "/s.yaml"
            try Data(Array("task: a\nb: ä".utf8) + [0xFF, 0x20]).write(
                to: URL(fileURLWithPath: path)
            )
            #expect(error(loading: path)?.message == "\(path):2:5: this is not UTF-8 text")
        }
    }

    @Test func `paths start from the directory of the file`() throws {
        try withDirectory { directory in
            let path = directory + "/s.yaml"
            try write(
                Draft(sink: "{ kind: ndjson, ndjson: { directory: out/x } }").text,
                to: path
            )
            let settings = try Settings.load(path: path, environment: [:])
            #expect(settings.sink == .ndjson(.init(directory: directory + "/out/x")))
        }
    }

    @Test func `a relative path of the file gives absolute paths`() throws {
        try withDirectory { directory in
            let source = "{ host: h, database: d, passwordFile: pw }"
            try write(Draft(source: source).text, to: directory + "/s.yaml")
            try write("hunter2", to: directory + "/pw")
            // More steps up than any working directory is deep end at the root.
            let up = String(repeating: "../", count: 64) + directory.dropFirst()
            let settings = try Settings.load(path: up + "/s.yaml", environment: [:])
            guard case .file(let path) = settings.source.password else {
                Issue.record("the password does not come from a file")
                return
            }
            #expect(path.hasPrefix("/"))
            #expect(try settings.source.resolvePassword(environment: [:]) == "hunter2")
        }
    }

    @Test(arguments: [
        (0o644, "password: hunter2", ["source.password"]),
        (0o640, "password: hunter2", []),
        (0o644, "password: '${P}'", []),
        (0o644, "passwordFile: p", []),
    ])
    func `a literal password in a file that others can read is warned of`(
        _ mode: Int,
        _ password: String,
        _ named: [String]
    ) throws {
        try withDirectory { directory in
            let path = directory + "/s.yaml"
            try write(
                Draft(source: "{ host: h, database: d, \(password) }").text,
                to: path,
                mode: mode
            )
            let warnings = try Settings.load(path: path, environment: ["P": "x"]).warnings
            #expect(warnings.count == named.count)
            for (warning, name) in zip(warnings, named) {
                #expect(warning.contains(path) && warning.contains(name))
                #expect(!warning.contains("hunter2"))
            }
        }
    }

    @Test(arguments: [
        ("host=h password = x", true), ("postgresql://u:x@h/d", true),
        ("postgres://u@h/d?password=x", true), ("postgres://u@h:5432/d", false),
        ("host=h user=u", false),
    ])
    func `a password in a connection string is seen`(_ conninfo: String, _ seen: Bool) throws {
        try withDirectory { directory in
            let path = directory + "/s.yaml"
            try write(Draft(source: "{ conninfo: '\(conninfo)' }").text, to: path, mode: 0o644)
            #expect(try Settings.load(path: path, environment: [:]).warnings.isEmpty == !seen)
        }
    }

    @Test func `a part can be read without what the others take from the environment`() throws {
        let draft = Draft(
            source: "{ host: h, database: d, password: '${PW}' }",
            sink: "{ kind: kafka, kafka: { bootstrapServers: 'a', properties: "
                + "{ sasl.password: '${KAFKA}' }, typo: 1 } }",
            more: "http: { listen: '${HTTP}' }\nunknown: 1\n"
        )
        try withDirectory { directory in
            let path = directory + "/orders.yaml"
            try write(draft.text, to: path)
            let http = ["HTTP": "127.0.0.1:8086"]
            let address = try Settings.loadAddress(path: path, environment: http)
            #expect(address.task == "orders" && address.http.listen?.port == 8086)
            let source = try Settings.loadSource(path: path, environment: ["PW": "x"])
            #expect(source.task == "orders")
            // What it does read has to be right.
            for (environment, name) in [([:], "HTTP"), (["HTTP": "nonsense"], "http.listen")] {
                let error = #expect(throws: WalrelayError.self) {
                    _ = try Settings.loadAddress(path: path, environment: environment)
                }
                #expect(error?.code == "settings.invalid" && error?.exit == .settings)
                #expect(error?.message.contains(name) == true)
            }
            let error = #expect(throws: WalrelayError.self) {
                _ = try Settings.loadSource(path: path, environment: http)
            }
            #expect(error?.message.contains("PW is not set") == true)
        }
    }
}
