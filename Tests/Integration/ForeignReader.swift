// SPDX-License-Identifier: Apache-2.0
//
// Readers of Debezium's JSON that are not ours: the programs in Consumers/ are but the way to call
// them. Each reads the records of a topic and prints the table that they come to.
import Foundation
import Support

/// A program in Java and the libraries that it is about.
struct ForeignReader: Sendable {
    /// Kafka Connect's JsonConverter and Debezium's ExtractNewRecordState.
    static let connect = ForeignReader(
        program: "ConnectTable.java",
        jars: cache("WALRELAY_DEBEZIUM_DIR", "debezium") + "/3.6.3/jars",
        library: "debezium-connect-plugins"
    )
    /// Flink's format debezium-json.
    static let flink = ForeignReader(
        program: "FlinkTable.java",
        jars: cache("WALRELAY_FLINK_DIR", "flink") + "/2.3.0/jars",
        library: "flink-json"
    )

    private let program: String
    private let jars: String
    private let library: String

    /// Whether its libraries are here; what says how to get them is in the program's beginning.
    var isAvailable: Bool {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: jars)) ?? []
        return names.contains { $0.hasPrefix(library) }
    }

    /// Why a test is left out where they are not.
    var absence: String { "no \(library) in \(jars): see Tests/Integration/Consumers/\(program)" }

    /// The lines of the table that the records come to; throws what the reader says of a record
    /// that it does not take.
    func table(_ records: [KafkaRecord], _ arguments: [String] = []) async throws -> [String] {
        let input = records.map { "\($0.key ?? "\\N")\t\($0.value ?? "\\N")\n" }.joined()
        let path = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Consumers/\(program)").path
        let output = try await onThread {
            try runProcess(
                "/usr/bin/java",
                ["-cp", "\(jars)/*", path] + arguments,
                input: input,
                limit: .seconds(120)
            )
        }
        guard output.status == .code(0) else {
            throw SupportError("\(program): \(output.status)\n\(output.stderr.suffix(4_000))")
        }
        return output.stdout.split(separator: "\n").map(String.init)
    }

    /// Where the scripts put what they fetch.
    private static func cache(_ variable: String, _ name: String) -> String {
        let variables = ProcessInfo.processInfo.environment
        if let own = variables[variable], !own.isEmpty { return own }
        if geteuid() == 0 { return "/var/cache/walrelay/\(name)" }
        let home = variables["HOME"] ?? "/nonexistent"
        return "\(variables["XDG_CACHE_HOME"] ?? "\(home)/.cache")/walrelay/\(name)"
    }
}
