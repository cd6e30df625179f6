// SPDX-License-Identifier: Apache-2.0
import ChangeModel
import Testing

@testable import Operations

@Suite struct ListenAddressTests {
    @Test(arguments: [
        ("127.0.0.1:8085", "127.0.0.1", 8085), ("[::1]:80", "::1", 80),
        ("localhost:0", "localhost", 0), ("0.0.0.0:65535", "0.0.0.0", 65535),
    ])
    func `an address is read and written alike`(text: String, host: String, port: Int) throws {
        let address = try ListenAddress(parsing: text)
        #expect(address == ListenAddress(host: host, port: UInt16(port)))
        #expect(address.description == text)
    }

    @Test(arguments: [
        "", ":", "8085", ":8085", "localhost", "localhost:", "localhost:65536", "localhost:-1",
        "localhost:+1", "::1:80", "[::1]", "[]:80", "[localhost]:80", "a b:80", "h:8o", "[::1:80",
        "http://localhost:80",
    ])
    func `anything else is refused with a hint`(text: String) {
        let error = #expect(throws: WalrelayError.self) { try ListenAddress(parsing: text) }
        #expect(error?.code == "http.address_invalid")
        #expect(error?.exit == .settings)
        #expect(error?.hint.isEmpty == false)
    }

    @Test func `a host without an address is an error of the settings`() {
        let address = ListenAddress(host: "no-such-host.invalid", port: 1)
        let error = #expect(throws: WalrelayError.self) { try address.probe() }
        #expect(error?.code == "http.address_unknown")
        #expect(error?.message.contains("no-such-host.invalid") == true)
    }

    @Test func `a free address passes the probe, one of another machine does not`() throws {
        try ListenAddress(host: "127.0.0.1", port: 0).probe()
        try ListenAddress(host: "localhost", port: 0).probe()
        let error = #expect(throws: WalrelayError.self) {
            try ListenAddress(host: "192.0.2.1", port: 0).probe()
        }
        #expect(error?.code == "http.address_unavailable")
    }
}
