// SPDX-License-Identifier: Apache-2.0
//
// A job document for tests: parts of which a test changes one. Each part stands on a line of its
// own, so that a fault's line tells which.

import ChangeModel
import Foundation
import Settings
import Testing

struct JobDraft {
    /// Line 2, the parameters of a reader.
    var reader = #""datasource": "s", "table": "t", "column": ["a"]"#
    /// Line 4, the parameters of a writer.
    var writer = #""datasource": "d", "table": "t", "column": ["a"]"#
    /// Line 6.
    var setting = ""
    /// Line 7, with a comma before it.
    var more = ""
    var readerPlugIn = "postgresql"
    var writerPlugIn = "postgresql"

    var text: String {
        """
        {"steps": [{"category": "reader", "name": "Reader", "stepType": "\(readerPlugIn)", "parameter": {
        \(reader)
        }}, {"category": "writer", "name": "Writer", "stepType": "\(writerPlugIn)", "parameter": {
        \(writer)
        }}], "setting": {
        \(setting)
        }\(more)
        }
        """
    }

    func job(_ parameters: [String: String] = [:]) throws -> Job {
        try Job.parse(text, file: "j", baseDirectory: "/etc/w", parameters: parameters)
    }

    func faults(_ parameters: [String: String] = [:]) -> [String] {
        jobFaults(of: text, parameters)
    }

    func postgreSQLReader(_ parameters: [String: String] = [:]) throws -> Job.PostgreSQLReader {
        guard case .postgresql(let reader) = try job(parameters).reader else { throw WrongKind() }
        return reader
    }

    func tables(_ parameters: [String: String] = [:]) throws -> Job.PostgreSQLReader.Tables {
        guard case .tables(let tables) = try postgreSQLReader(parameters).content else {
            throw WrongKind()
        }
        return tables
    }

    func postgreSQLWriter(_ parameters: [String: String] = [:]) throws -> Job.PostgreSQLWriter {
        guard case .postgresql(let writer) = try job(parameters).writer else { throw WrongKind() }
        return writer
    }

    func streamReader(_ parameters: [String: String] = [:]) throws -> Job.StreamReader {
        guard case .stream(let reader) = try job(parameters).reader else { throw WrongKind() }
        return reader
    }

    func streamWriter() throws -> Job.StreamWriter {
        guard case .stream(let writer) = try job().writer else { throw WrongKind() }
        return writer
    }
}

/// A job has another end than a test wants.
struct WrongKind: Error {}

/// The lines of the error that a document gives; empty when it gives none.
func jobFaults(of text: String, _ parameters: [String: String] = [:]) -> [String] {
    do {
        _ = try Job.parse(text, file: "j", baseDirectory: "/etc/w", parameters: parameters)
        return []
    } catch {
        #expect(error.code == "job.invalid")
        #expect(error.exit == .settings)
        return error.message.split(separator: "\n").map(String.init)
    }
}

/// The path of one of the documents beside the tests.
func jobFixture(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Jobs").appendingPathComponent(name).path
}
