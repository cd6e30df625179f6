// SPDX-License-Identifier: Apache-2.0
//
// Random damage to settings files: whatever stands in a file, reading it gives settings or faults
// with positions within it, and never a trap. The seed is printed with a failure.

import ChangeModel
import Foundation
import Settings
import Support
import Testing

private let fragments = [
    "*", "&a", "*a", ": ", "- ", "\n", "\n  ", "{", "}", "[", "]", "\"", "'", "#", "|", ">", "%",
    "!!int ", "? ", "---\n", "...\n", "${", "${X}", "$$", "\t", "\r\n", "\u{FEFF}", "\u{2028}", "~",
    "<<: ", "0", "99999999999999999999", "\u{10FFFF}", "\\u0000", "task: x\n", "source: ",
].map { Array($0.utf8) }

@Suite struct Mutations {
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func `damaged settings are read or refused, never a trap`(_ seed: UInt64) throws {
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let original = Array(
            try Data(contentsOf: root.appendingPathComponent("config/example.yaml"))
                // Comments would take most of the damage.
                .split(separator: UInt8(ascii: "\n"))
                .filter { !$0.drop { $0 == 32 }.starts(with: "#".utf8) }
                .joined(separator: [UInt8(ascii: "\n")])
        )
        var random = SeededGenerator(seed: seed)
        try withDirectory { directory in
            let path = directory + "/s.yaml"
            for round in 0..<250 {
                let bytes = damaged(original, &random)
                try Data(bytes).write(to: URL(fileURLWithPath: path))
                let lineCount = bytes.count + 1
                do throws(WalrelayError) {
                    _ = try Settings.load(path: path, environment: ["X": "x"])
                } catch {
                    #expect(error.code == "settings.invalid", "seed \(seed), round \(round)")
                    #expect(!error.message.isEmpty, "seed \(seed), round \(round)")
                    for line in error.message.split(separator: "\n") {
                        let parts = line.dropFirst(path.count + 1).split(separator: ":")
                        let position = parts.prefix(2).compactMap { Int($0) }
                        #expect(
                            line.hasPrefix(path + ":") && position.count == 2
                                && (1...lineCount).contains(position[0]) && position[1] > 0,
                            "seed \(seed), round \(round): \(line)"
                        )
                    }
                }
            }
        }
    }

    private func damaged(_ original: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let index = Int.random(in: 0..<max(1, bytes.count), using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0 where index < bytes.count:
                bytes[index] = UInt8.random(in: 0...255, using: &random)
            case 1 where index < bytes.count:
                bytes[index] = UInt8.random(in: 32...126, using: &random)
            case 2:
                let end = min(bytes.count, index + Int.random(in: 1...40, using: &random))
                bytes.removeSubrange(index..<end)
            case 3:
                let end = min(bytes.count, index + Int.random(in: 1...200, using: &random))
                bytes.insert(contentsOf: bytes[index..<end], at: index)
            case 4 where index < bytes.count:
                bytes.removeLast(bytes.count - index)
            default:
                bytes.insert(
                    contentsOf: fragments.randomElement(using: &random) ?? [],
                    at: min(index, bytes.count)
                )
            }
        }
        return bytes
    }
}
