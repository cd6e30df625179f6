// SPDX-License-Identifier: Apache-2.0
//
// What walrelay is built from, and what the executable is: no package that was not looked at, no
// script that fetches what it does not verify, no library but the expected, and the protection that
// a linker gives. scripts/release holds a release's executable to the same.

import Foundation
import Support
import Testing

struct SupplyTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    private func dependencies(_ arguments: String...) throws -> ProcessOutput {
        try runProcess(Self.root.appending(path: "scripts/dependencies").path, arguments)
    }

    @Test func `what is built in is what docs/dependencies.md lists`() throws {
        let output = try dependencies("check")
        #expect(output.status == .code(0), "\(output.stderr)")
    }

    @Test func `Package.swift asks for nothing that could do more than be compiled`() throws {
        let package = try Self.text("Package.swift")
        for word in [
            "unsafeFlags", "binaryTarget", "branch:", "revision:", "plugin", "path: \"..", "macro(",
        ] {
            #expect(!package.contains(word), "\(word)")
        }
        let packages = package.matches(of: /\.package\(/).count
        #expect(packages > 0)
        #expect(package.matches(of: /\.package\(url: "https:\/\//).count == packages)
    }

    @Test func `only scripts/fetch-wheel downloads, and only what it has a hash of`() throws {
        let folder = Self.root.appending(path: "scripts").path
        let walk = FileManager.default.enumerator(atPath: folder)
        for case let file as String in try #require(walk) {
            guard let text = try? Self.text("scripts/\(file)"), text.hasPrefix("#!") else {
                continue
            }
            // What asks for a program does not run it.
            let script = text.split(separator: "\n")
                .filter { !$0.drop(while: \.isWhitespace).hasPrefix("need ") }
                .joined(separator: "\n")
            // apt verifies Debian's signature by itself.
            for fetcher in ["curl ", "wget ", "pip download", "pip install", "git clone"]
            where file != "fetch-wheel" {
                #expect(!script.contains(fetcher), "scripts/\(file): \(fetcher)")
            }
        }
        #expect(try Self.text("scripts/fetch-wheel").contains("--require-hashes"))
        let pins = try Self.text("scripts/wheels.txt")
        let hashes = pins.matches(of: /--hash=sha256:[0-9a-f]{64}( \\)?\n/).count
        #expect(hashes == pins.matches(of: /--hash/).count)
        let unknown = try runProcess(
            Self.root.appending(path: "scripts/fetch-wheel").path,
            ["noida-db==0.0.0", "/nonexistent"]
        )
        #expect(unknown.status == .code(1))
        #expect(unknown.stderr.contains("noida-db==0.0.0 is not in"))
    }

    @Test func `the executable links the libraries that docs/dependencies.md names`() throws {
        let dynamic = try readelf("-dW")
        let needed = dynamic.matches(of: /\(NEEDED\).*\[(.+)\]/).map { String($0.output.1) }
        let page = try Self.text("docs/dependencies.md")
        let named = page.matches(of: /`((?:lib|ld-)[^` ]+\.so[^` ]*)`/).map { String($0.output.1) }
        #expect(needed.contains("libpq.so.5"))
        // Those of Swift's toolchain are in the executable itself in a release.
        let swift = /^lib(_?swift|_?Foundation|BlocksRuntime|dispatch)/
        let foreign = Set(needed.filter { $0.firstMatch(of: swift) == nil })
        #expect(foreign.subtracting(named) == [])
    }

    @Test func `the executable is loaded anywhere, with no memory both written and run`() throws {
        #expect(try readelf("-dW").contains("PIE"))
        let segments = try readelf("-lW").split(separator: "\n")
        #expect(segments.contains { $0.contains("GNU_RELRO") })
        let stack = try #require(segments.first { $0.contains("GNU_STACK") })
        #expect(stack.contains(" RW "))
        let writable = segments.filter { $0.contains("LOAD") && $0.contains(" RW") }
        #expect(!writable.isEmpty)
        #expect(!segments.contains { $0.contains("LOAD") && $0.contains("RWE") })
    }

    @Test(
        .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/dpkg"), "no Debian")
    )
    func `the bill of materials has every package and library`() throws {
        let output = try dependencies("sbom", DaemonProcess.executable)
        #expect(output.status == .code(0), "\(output.stderr)")
        let bill = try JSONDecoder().decode(Bill.self, from: Data(output.stdout.utf8))
        #expect(bill.bomFormat == "CycloneDX")
        #expect(bill.serialNumber.hasPrefix("urn:uuid:"))
        let names = bill.components.map(\.name)
        #expect(Set(names).count == names.count)
        let page = try Self.text("docs/dependencies.md")
        let packages = page.matches(of: /(?m)^\| `([a-z0-9-]+)` \|/).map { String($0.output.1) }
        #expect(packages.count >= 6)
        for name in packages + ["libpq5", "swift-runtime"] {
            #expect(names.contains(name), "\(name)")
        }
        #expect(bill.components.allSatisfy { !$0.version.isEmpty })
        // No reference without its component.
        let references = Set(bill.components.map(\.reference) + ["walrelay"])
        for dependency in bill.dependencies {
            #expect(references.contains(dependency.ref))
            #expect(references.isSuperset(of: dependency.dependsOn))
        }
    }

    private func readelf(_ option: String) throws -> String {
        let output = try runProcess("/usr/bin/readelf", [option, DaemonProcess.executable])
        guard output.status == .code(0) else { throw SupportError(output.stderr) }
        return output.stdout
    }

    private struct Bill: Decodable {
        struct Component: Decodable {
            enum CodingKeys: String, CodingKey {
                case name, version
                case reference = "bom-ref"
            }
            var name: String
            var version: String
            var reference: String
        }
        struct Dependency: Decodable {
            var ref: String
            var dependsOn: [String]
        }
        var bomFormat: String
        var serialNumber: String
        var components: [Component]
        var dependencies: [Dependency]
    }
}
