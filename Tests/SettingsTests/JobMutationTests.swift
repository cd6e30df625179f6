// SPDX-License-Identifier: Apache-2.0
//
// Damaged job documents: every truncation of the samples and every byte of them replaced gives a
// job or faults with positions within the text, and never a trap.

import ChangeModel
import Foundation
import Settings
import Support
import Testing

@Suite struct JobMutations {
    static let samples = ["reader.json", "writer.json", "pgtype.json", "escape.json"]

    private func bytes(of sample: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: jobFixture(sample))))
    }

    /// Reads a document, and checks what is told of it.
    @discardableResult
    private func isJob(_ bytes: [UInt8], _ place: String) -> Bool {
        guard let text = String(validating: bytes, as: UTF8.self) else { return false }
        do throws(WalrelayError) {
            _ = try Job.parse(text, file: "j", baseDirectory: "/", parameters: ["X": "x"])
            return true
        } catch {
            #expect(error.code == "job.invalid", "\(place)")
            #expect(!error.message.isEmpty, "\(place)")
            let lineCount = bytes.count { $0 == 10 || $0 == 13 } + 1
            for line in error.message.split(separator: "\n") where !line.hasSuffix(" more faults") {
                let parts = line.dropFirst(2).split(separator: ":")
                let position = parts.prefix(2).compactMap { Int($0) }
                let isPlaced =
                    line.hasPrefix("j:") && position.count == 2
                    && (1...lineCount).contains(position[0]) && position[1] > 0
                #expect(isPlaced, "\(place): \(line)")
            }
            return false
        }
    }

    @Test(arguments: samples)
    func `every truncation is a fault`(_ sample: String) throws {
        let original = try bytes(of: sample)
        let end = original.lastIndex(of: UInt8(ascii: "}")) ?? 0
        for length in 0..<end {
            let place = "\(sample), \(length) bytes"
            #expect(!isJob(Array(original[..<length]), place), "\(place)")
        }
    }

    @Test(arguments: samples)
    func `every byte replaced by one of the language is read or refused`(_ sample: String) throws {
        let original = try bytes(of: sample)
        let replacements = Array("{}[]:,\"'\\/*$#\n 0tn\u{0}".utf8)
        for index in original.indices {
            var damaged = original
            // One of them at each place: the places are many, and alike.
            damaged[index] = replacements[index % replacements.count]
            isJob(damaged, "\(sample), byte \(index) is \(damaged[index])")
        }
    }

    @Test(arguments: [
        "[", "{\"a\":", "\"", "\\", "${", "/*", "{'a':[", "//", "\"\\u", "$", "-", "'${X}',",
    ])
    func `a text of one thing repeated is refused`(_ part: String) {
        isJob(Array(("{\"a\": " + String(repeating: part, count: 20_000)).utf8), part)
    }

    @Test func `a large document of another kind is refused quickly`() {
        let names = (0..<20_000).map { "\"n\($0)\"" }
        let columns = names.map { $0.replacing("n", with: "c") }.joined(separator: ",")
        let types = names.map { $0 + ":\"t\"" }.joined(separator: ",")
        var draft = JobDraft()
        draft.writer =
            "\"datasource\":\"d\",\"table\":\"t\",\"column\":[\(columns)],\"pgType\":{\(types)}"
        #expect(draft.faults().count == 100)
    }

    @Test func `pieces put together at random are read or refused`() {
        let pieces = [
            "{", "}", "[", "]", ",", ":", "\"", "'", "\\", "\\u", "\\ud83d", "${X}", "${", "//",
            "/*",
            "*/", "\n", "\r\n", "null", "true", "1e9", "\"steps\"", "\"job\"", "\"content\"",
            "\"reader\"", "\"writer\"", "\"parameter\"", "\"category\"", "\"column\"", "\"table\"",
            "\"connection\"", "\"jdbcUrl\"", "\"jdbc:postgresql://h:1/d?ssl=true\"", "\"t[0-9]\"",
            "\"random\"", "\"1,2\"", "\"date\"", "\"type\"", "\u{FEFF}", "\u{2028}", "😀",
        ]
        var random = SeededGenerator(seed: 5)
        for round in 0..<2000 {
            let count = Int.random(in: 1...60, using: &random)
            let text = (0..<count).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            isJob(Array(("{" + text).utf8), "round \(round)")
        }
    }
}
