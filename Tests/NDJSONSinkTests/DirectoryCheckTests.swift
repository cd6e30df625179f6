// SPDX-License-Identifier: Apache-2.0

import ChangeModel
import Foundation
import Glibc
import NDJSONSink
import Testing

@Suite struct DirectoryCheckTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private func finding(_ path: String) throws -> Finding {
        let findings = DirectoryCheck.findings(path)
        #expect(findings.count == 1)
        let finding = try #require(findings.first)
        #expect(finding.id == "sink.directory" && finding.subject == "directory \(path)")
        return finding
    }

    @Test func `one that is there, or can be made, is well, and nothing is made`() throws {
        let there = try finding(folder.path)
        #expect(there.level == .ok && there.found.hasPrefix("can be written, "))
        #expect(there.found.hasSuffix(" free"))
        let made = try finding("\(folder.path)/a/b//c/")
        #expect(made.level == .ok && made.found.hasPrefix("will be made in \(folder.path)"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
        #expect(try finding("walrelay-not-there/x").found.hasPrefix("will be made in ."))
    }

    @Test func `a file in the place of a directory fails, above it too`() throws {
        try folder.write("", to: "file")
        let file = "\(folder.path)/file"
        #expect(try finding(file).level == .failed)
        let below = try finding("\(file)/events")
        #expect(below.level == .failed && below.found == "\(file) is no directory")
        #expect(below.mend.contains("sink.ndjson.directory"))
    }

    @Test(.enabled(if: geteuid() != 0, "root may write everywhere"))
    func `one that we may not write is a warning, since another may`() throws {
        chmod(folder.path, 0o500)
        defer { chmod(folder.path, 0o700) }
        for path in [folder.path, "\(folder.path)/events"] {
            let finding = try finding(path)
            #expect(finding.level == .warning && finding.found.contains("user \(geteuid())"))
            #expect(finding.mend.contains("sudo install -d"))
        }
    }
}
