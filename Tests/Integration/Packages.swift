// SPDX-License-Identifier: Apache-2.0
//
// What scripts/package makes of the executable under test, once for all tests, and a Debian that
// has nothing on it to install it on.

import Foundation
import Glibc
import Support

/// The files of a release, made of the executable under test.
struct Packages: Sendable {
    /// Where they lie; removed with the last reference.
    let folder: TemporaryDirectory
    /// The names of the archive and of the Debian package.
    let archive: String
    let debian: String

    private static let making = Task { try await onThread { try Packages() } }

    /// Those that all tests share; made at first use, in some seconds.
    static var shared: Packages {
        get async throws { try await making.value }
    }

    /// The repository's root.
    static let repository = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    /// Makes them anew; blocks.
    init() throws {
        folder = try TemporaryDirectory()
        let made = try runProcess(
            "\(Self.repository)/scripts/package",
            ["--binary", DaemonProcess.executable, folder.path],
            limit: .seconds(180)
        )
        guard made.status == .code(0) else { throw SupportError(made.stderr) }
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        guard names.count == 2, let archive = names.first(where: { $0.hasSuffix(".tar.gz") }),
            let debian = names.first(where: { $0.hasSuffix(".deb") })
        else { throw SupportError("scripts/package made \(names)") }
        self.archive = archive
        self.debian = debian
    }

    /// The archive's files, unpacked into a directory that goes with the last reference.
    func unpacked() async throws -> (directory: TemporaryDirectory, path: String) {
        let directory = try TemporaryDirectory()
        let output = try await onThread {
            try runProcess("/bin/tar", ["-xzf", folder.file(archive), "-C", directory.path])
        }
        guard output.status == .code(0) else { throw SupportError(output.stderr) }
        return (directory, directory.file(String(archive.dropLast(".tar.gz".count))))
    }
}

/// Where a Debian package is installed.
enum PackageGround: String, CaseIterable, Sendable {
    /// A copy of this machine, which has all that the package needs.
    case thisMachine
    /// A Debian with systemd and nothing else, got by mmdebstrap; its packages come by apt.
    case cleanDebian

    /// This machine, and for an acceptance (WALRELAY_LONG_TESTS=1) the other, too.
    static var wanted: [PackageGround] {
        let long = ProcessInfo.processInfo.environment["WALRELAY_LONG_TESTS"] == "1"
        return long && access("/usr/bin/mmdebstrap", X_OK) == 0 ? allCases : [.thisMachine]
    }

    /// The directory of its system; nil where it is this machine's.
    func makeRoot() async throws -> TemporaryDirectory? {
        guard self == .cleanDebian else { return nil }
        let root = try TemporaryDirectory()
        let output = try await onThread {
            try runProcess(
                "/usr/bin/mmdebstrap",
                [
                    "--variant=minbase", "--include=systemd,systemd-sysv,dbus", "bookworm",
                    root.path, "http://deb.debian.org/debian",
                ],
                limit: .seconds(300)
            )
        }
        guard output.status == .code(0) else { throw SupportError(output.stderr) }
        return root
    }
}
