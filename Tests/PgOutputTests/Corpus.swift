// SPDX-License-Identifier: Apache-2.0
//
// Bytes that real servers sent, `Corpus/<major version>-<what>.<kind>`: payloads of pgoutput
// protocol 1 (pgoutput), whole CopyData frames of streaming replication (frame), rows of
// COPY … TO STDOUT (copyrow). They are the seeds of both fuzzers.

import Foundation
import Testing

/// The captured bytes.
enum Corpus {
    struct Sample: Sendable, CustomTestStringConvertible {
        let name: String
        let bytes: [UInt8]

        var testDescription: String { name }
    }

    static let samples: [Sample] = {
        let directory = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "Corpus"
        )
        let files = try? FileManager.default.contentsOfDirectory(
            at: directory,
            includingPropertiesForKeys: nil
        )
        return (files ?? []).sorted { $0.path < $1.path }.compactMap { file in
            (try? Data(contentsOf: file)).map {
                Sample(name: file.lastPathComponent, bytes: [UInt8]($0))
            }
        }
    }()

    static func samples(_ kind: String) -> [Sample] {
        samples.filter { $0.name.hasSuffix(".\(kind)") }
    }
}
