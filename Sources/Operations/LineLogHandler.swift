// SPDX-License-Identifier: Apache-2.0
//
// swift-log's door: merges the metadata of logger, provider and call, and hands the entry to the
// LogOutput that all loggers share, whose level holds for all of them at once.

public import Logging

/// A log handler that writes one line an entry.
public struct LineLogHandler: LogHandler {
    /// Metadata of this logger.
    public var metadata: Logger.Metadata = [:]
    /// Metadata that is asked for at each entry.
    public var metadataProvider: Logger.MetadataProvider?
    /// The least severe level that is written: the output's, unless this logger was given its own.
    public var logLevel: Logger.Level {
        get { ownLevel ?? output.level }
        set { ownLevel = newValue }
    }

    private let output: LogOutput
    private var ownLevel: Logger.Level?

    /// Creates a handler that writes to the given output; `level` wins over the output's.
    public init(output: LogOutput, level: Logger.Level? = nil) {
        self.output = output
        self.ownLevel = level
    }

    /// One value of this logger's metadata.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes one entry.
    public func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        if let error = event.error, all["error"] == nil { all["error"] = "\(error)" }
        output.write(
            LogEntry(level: event.level, message: event.message.description, metadata: all)
        )
    }
}
