// SPDX-License-Identifier: Apache-2.0
//
// Damaged files: whatever byte is another one or missing, reading ends, in a result or in an error.

import ChangeModel
import Foundation
import Glibc
import Support
import Testing

@testable import Certificates

@Suite struct MutationTests {
    private static let seconds =
        ProcessInfo.processInfo.environment["WALRELAY_TEST_FUZZ_SECONDS"].flatMap(Double.init) ?? 3

    /// Reads a file in every rôle that a file may have.
    private func read(_ path: String) {
        var authorities = ClientFiles()
        authorities.authorities = path
        var certificate = ClientFiles()
        certificate.certificate = path
        var revocations = ClientFiles()
        revocations.revocations = path
        var key = ClientFiles()
        (key.key, key.keyPassword) = (path, Forms.password)
        for files in [authorities, certificate, revocations, key] {
            if let error = fault(files) { #expect(error.code.hasPrefix("tls.")) }
        }
    }

    @Test func `no damage to a file is a trap, an endless wait or a leak`() throws {
        let (one, other) = (try Forms(), try Forms(.rsa))
        var paths = [one.certificate, one.key, try one.der()]
        paths += try ["pem", "der"].map { try one.bundle(other, $0) }
        for (number, form) in Forms.keyForms.enumerated() {
            paths.append(try one.key(form, as: "\(number).key"))
        }
        let store = one.directory.file("store.p12")
        try openssl(
            ["pkcs12", "-export", "-in", one.certificate, "-inkey", one.key, "-out", store]
                + ["-passout", "pass:\(Forms.password)"]
        )
        paths.append(store)
        let originals = try paths.map { Array(try Data(contentsOf: URL(filePath: $0))) }
        let damaged = one.directory.file("damaged")
        let seed = UInt64.random(in: 0 ... .max)
        var numbers = SeededGenerator(seed: seed)
        let deadline = ContinuousClock.now + .seconds(Self.seconds)
        while ContinuousClock.now < deadline {
            var bytes = originals.randomElement(using: &numbers) ?? []
            for _ in 0...Int.random(in: 0...2, using: &numbers) {
                let place = Int.random(in: bytes.indices, using: &numbers)
                switch Int.random(in: 0...3, using: &numbers) {
                case 0: bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &numbers)
                case 1: bytes[place] = UInt8.random(in: 0...255, using: &numbers)
                case 2: bytes.remove(at: place)
                default: bytes.removeLast(bytes.count - place)
                }
                if bytes.isEmpty { bytes = [0x30] }
            }
            try Data(bytes).write(to: URL(filePath: damaged))
            chmod(damaged, 0o600)
            let begun = ContinuousClock.now
            read(damaged)
            #expect(ContinuousClock.now - begun < .seconds(30), "seed \(seed)")
        }
        // Other tests of this process have files of their own open, elsewhere.
        let left = try openDescriptors().compactMap {
            try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
        }
        #expect(!left.contains { $0.hasPrefix(one.directory.path + "/") }, "seed \(seed)")
    }
}
