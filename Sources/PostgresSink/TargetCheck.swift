// SPDX-License-Identifier: Apache-2.0
//
// The target's part of `walrelay check`.

public import ChangeModel
import Logging
public import Sink

extension PostgresSink {
    /// How the way to the target is protected, and what the target has to say of a task that takes
    /// these relations; changes nothing.
    ///
    /// Where the target holds the task's complete checkpoint, the relations that it names are
    /// looked at instead: the stream brings what has changed since. Blocks. Throws
    /// `WalrelayError` where the target cannot be asked.
    public static func check(
        _ options: PostgresSinkOptions,
        relations: [Relation],
        types: [TypeEntry],
        supervisor: any SinkSupervisor
    ) throws -> [Finding] {
        let silent = Logger(label: "walrelay.check") { _ in SwiftLogNoOpLogHandler() }
        let sink = PostgresSink(options, supervisor: supervisor, logger: silent)
        let checkpoint = try sink.open()
        let isUnderWay = checkpoint?.snapshot == .complete
        var findings = try sink.protectionFindings()
        findings += try sink.findings(
            isUnderWay
                ? checkpoint?.relations.filter {
                    options.selection.rule(schema: $0.schema, name: $0.name) != nil
                } ?? [] : relations,
            types: isUnderWay ? checkpoint?.types ?? [] : types
        )
        try sink.close()
        return findings
    }
}
