// SPDX-License-Identifier: Apache-2.0
//
// `http`: tokens that are none, what is warned of, and the token as it is at the moment.

import ChangeModel
import Foundation
import Settings
import Testing

private func error(_ body: () throws -> Void) -> WalrelayError? {
    #expect(throws: WalrelayError.self, performing: body)
}

@Suite struct HTTPSectionTests {
    private static let token = "0123456789abcdef"

    @Test func `without a token nobody is asked`() throws {
        let http = try Draft().settings().http
        #expect(http.token == nil)
        #expect(!http.isBehindProxy)
        #expect(try http.readToken(environment: [:]) == nil)
    }

    @Test func `a token comes from the environment, and is never shown`() throws {
        let draft = Draft(more: "http: { token: '${T}' }")
        let settings = try draft.settings(["T": Self.token])
        #expect(try settings.http.readToken(environment: [:]) == Self.token)
        #expect(!"\(settings)".contains(Self.token))
    }

    @Test(arguments: [
        ("short", "has 5 characters, not 16 to 1024"),
        ("0123456789abcde", "has 15 characters, not 16 to 1024"),
        (String(repeating: "x", count: 1025), "has 1025 characters, not 16 to 1024"),
        ("0123456789 abcdef", "holds a blank, or a character that is not ASCII"),
        ("0123456789abcdeé", "holds a blank, or a character that is not ASCII"),
    ])
    func `a weak token is a fault that does not show it`(text: String, reason: String) throws {
        let draft = Draft(more: "http: { token: '${T}' }")
        let faults = draft.faults(["T": text])
        #expect(faults == ["s:5:16: http.token: the value, taken from the environment, \(reason)"])
        try withDirectory { directory in
            try write(text + "\n", to: directory + "/token")
            let http = try Self.settings("{ tokenFile: token }", in: directory).http
            let failure = error { _ = try http.readToken(environment: [:]) }
            #expect(failure?.code == "http.token_weak")
            #expect(failure?.exit == .settings)
            #expect(failure?.message.contains(reason) == true)
            #expect(failure?.message.contains(text) == false)
        }
    }

    private static func settings(_ http: String, in directory: String) throws -> Settings {
        try Settings.parse(
            Draft(more: "http: \(http)").text,
            baseDirectory: directory,
            environment: [:]
        )
    }

    @Test func `a token file is read anew each time`() throws {
        try withDirectory { directory in
            let http = try Self.settings("{ tokenFile: token }", in: directory).http
            let missing = error { _ = try http.readToken(environment: [:]) }
            #expect(missing?.message.hasPrefix("The token file \(directory)/token cannot") == true)
            #expect(missing?.hint == "name a readable file in tokenFile")
            for text in [Self.token, Self.token + "x"] {
                try write(text + "\n", to: directory + "/token")
                #expect(try http.readToken(environment: [:]) == text)
            }
            let credential = try Self.settings("{ tokenFile: 'credential:token' }", in: "/").http
            let environment = ["CREDENTIALS_DIRECTORY": directory]
            #expect(try credential.readToken(environment: environment) == Self.token + "x")
        }
    }

    @Test func `a pipe, which would be waited for, is no token file`() throws {
        try withDirectory { directory in
            #expect(mkfifo(directory + "/token", 0o600) == 0)
            let http = try Self.settings("{ tokenFile: token }", in: directory).http
            let failure = error { _ = try http.readToken(environment: [:]) }
            #expect(failure?.message.contains("is a pipe") == true)
        }
    }

    @Test func `token and tokenFile exclude each other`() {
        let draft = Draft(more: "http: { token: '\(Self.token)', tokenFile: t }")
        #expect(draft.faults() == ["s:5:36: http.tokenFile: cannot stand beside http.token"])
    }

    @Test(arguments: [
        "off", "'127.0.0.1:1'", "'127.1.2.3:1'", "'[::1]:1'", "localhost:1", "LocalHost:1",
    ])
    func `on loopback nothing is warned of`(listen: String) throws {
        #expect(try Draft(more: "http: { listen: \(listen) }").settings().warnings == [])
    }

    @Test(arguments: ["'0.0.0.0:1'", "'[::]:1'", "'10.0.0.1:1'", "127.evil:1", "db.example:1"])
    func `elsewhere a token and TLS are missed, unless a proxy gives them`(listen: String) throws {
        func warnings(_ more: String) throws -> [String] {
            try Draft(more: "http: { listen: \(listen)\(more) }")
                .settings(["T": Self.token]).warnings
        }
        let open = try warnings("")
        #expect(open.count == 1)
        #expect(open.first?.hasPrefix("http: ") == true)
        #expect(open.first?.contains("asks for no token") == true)
        let clear = try warnings(", token: '${T}'")
        #expect(clear.count == 1)
        #expect(clear.first?.contains("the token travels in clear") == true)
        #expect(try warnings(", behindProxy: true") == [])
        #expect(try warnings(", token: '${T}', behindProxy: true") == [])
    }
}
