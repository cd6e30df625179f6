// SPDX-License-Identifier: Apache-2.0
//
// From the settings to a sink; the one place that knows all kinds.

import ChangeModel
import Logging
import NDJSONSink
import Settings
import Sink

enum SinkAssembly {
    /// How the task's sink is made; throws for a kind that this build does not have.
    static func sink(
        _ settings: Settings,
        log: Logger
    ) throws(WalrelayError) -> @Sendable (any SinkSupervisor) throws -> any Sink {
        let format = format(settings.format)
        let encoding = EventEncoding(
            task: settings.task, version: walrelayVersion, format: format)
        switch settings.sink {
        case .ndjson(let section):
            let options = NDJSONOptions(
                directory: section.directory, rotateBytes: section.rotate, encoding: encoding)
            return { supervisor in NDJSONSink(options: options, supervisor: supervisor) }
        case .stream:
            return { _ in StreamSink(encoding: encoding) }
        case .postgresql, .kafka:
            throw WalrelayError(
                "sink.unavailable", exit: .settings,
                "This build has no \(settings.sink.kind.rawValue) sink",
                hint: "set sink.kind to ndjson or stream")
        }
    }

    private static func format(_ settings: Settings.Format) -> ValueFormat {
        ValueFormat(
            decimals: settings.decimals == .string
                ? .string : settings.decimals == .precise ? .precise : .double,
            temporal: settings.temporal == .iso ? .iso : .epoch,
            binary: settings.binary == .base64 ? .base64 : .hex)
    }
}
