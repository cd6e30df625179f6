// SPDX-License-Identifier: Apache-2.0
//
// The log's own clock: reads the board each second, says what LogSummary finds due, and has the
// output tell what it held back for long enough.

public import Logging
public import Pipeline
public import ServiceLifecycle

/// Writes the log's regular lines.
public struct LogReporter: Service {
    private static let tick: Duration = .seconds(1)

    private let board: StatusBoard
    private let logger: Logger
    private let output: LogOutput

    /// Creates a reporter; `logger` writes to `output`.
    public init(board: StatusBoard, logger: Logger, output: LogOutput) {
        self.board = board
        self.logger = logger
        self.output = output
    }

    /// Reports until graceful shutdown or cancellation.
    public func run() async {
        var summary = LogSummary()
        let begin = ContinuousClock.now
        while !Task.isShuttingDownGracefully, !Task.isCancelled {
            output.tick()
            let line = summary.line(board.status, at: ContinuousClock.now - begin)
            if let line {
                logger.info(
                    "\(line.message)",
                    metadata: ["figures": .dictionary(line.figures)]
                )
            }
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: Self.tick) }
        }
    }
}
