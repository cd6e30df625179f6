// SPDX-License-Identifier: Apache-2.0
//
// What scripts/package makes, as those see it who get it: what it depends on, whose its files are,
// what Debian's own checker says, and that it comes out the same again.

import Foundation
import Glibc
import Support
import Testing

struct PackageTests {
    @Test func `the Debian package says what it needs, and holds what it should`() async throws {
        let packages = try await Packages.shared
        let file = packages.folder.file(packages.debian)
        let (depends, files) = try await onThread {
            (
                try runProcess("/usr/bin/dpkg-deb", ["--field", file, "Depends"]).stdout,
                try runProcess("/usr/bin/dpkg-deb", ["--contents", file]).stdout
            )
        }
        let names = depends.split(separator: ",").map {
            $0.trimmingCharacters(in: .whitespacesAndNewlines).prefix { $0 != " " }
        }
        #expect(Set(["libpq5", "libssl3", "libc6"]).isSubset(of: Set(names.map(String.init))))
        for line in files.split(separator: "\n") {
            #expect(line.contains(" root/root "), "\(line)")
            #expect(!line.dropFirst().prefix(9).contains("s"), "\(line)")
        }
        for path in [
            "usr/bin/walrelay", "usr/lib/systemd/system/walrelay@.service",
            "usr/share/man/man1/walrelay-run.1.gz", "usr/share/doc/walrelay/copyright",
            "usr/share/doc/walrelay/examples/example.yaml",
            "usr/share/bash-completion/completions/walrelay",
        ] {
            #expect(files.contains(" ./\(path)\n"), "\(path)")
        }
    }

    @Test(.enabled(if: access("/usr/bin/lintian", X_OK) == 0, "lintian is not installed"))
    func `lintian finds nothing to say`() async throws {
        let packages = try await Packages.shared
        let output = try await onThread {
            try runProcess(
                "/usr/bin/lintian",
                [
                    "--allow-root", "--profile", "debian", "--fail-on", "error,warning",
                    // A plain build looks for Swift's libraries where the toolchain is.
                    "--suppress-tags", "custom-library-search-path",
                    packages.folder.file(packages.debian),
                ]
            )
        }
        #expect(output.status == .code(0), "\(output.stdout)\(output.stderr)")
        #expect(output.stdout == "")
    }

    @Test(
        .enabled(
            if: ProcessInfo.processInfo.environment["WALRELAY_LONG_TESTS"] == "1",
            "packs once more: WALRELAY_LONG_TESTS=1"
        )
    )
    func `the same executable gives the same packages`() async throws {
        let packages = try await Packages.shared
        let again = try await onThread { try Packages() }
        for name in [packages.archive, packages.debian] {
            #expect(
                FileManager.default.contentsEqual(
                    atPath: packages.folder.file(name),
                    andPath: again.folder.file(name)
                ),
                "\(name)"
            )
        }
    }
}
