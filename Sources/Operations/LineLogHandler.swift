// SPDX-License-Identifier: Apache-2.0
//
// swift-log's door: merges the metadata of logger, provider and call, and hands the entry to the
// LogOutput that all loggers share.

public import Logging

/// A log handler that writes one line an entry.
public struct LineLogHandler: LogHandler {
    /// Metadata of this logger.
    public var metadata: Logger.Metadata = [:]
    /// Metadata that is asked for at each entry.
    public var metadataProvider: Logger.MetadataProvider?
    /// The least severe level that is written.
    ///
    /// That of the output, which may be set anew at any time, unless this logger has its own.
    public var logLevel: Logger.Level {
        get { ownLevel ?? output.level }
        set { ownLevel = newValue }
    }

    private var ownLevel: Logger.Level?
    private let label: String
    private let output: LogOutput

    /// Creates a handler that writes to the given output, with the output's level where none is
    /// given.
    public init(label: String, output: LogOutput, level: Logger.Level? = nil) {
        self.label = label
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
            LogEntry(
                level: event.level,
                label: label,
                message: event.message.description,
                metadata: all
            )
        )
    }
}
