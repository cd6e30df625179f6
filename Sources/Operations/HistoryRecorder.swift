// SPDX-License-Identifier: Apache-2.0
//
// Keeps the last hour: asks the board for a point every five seconds, from the start of the task to
// its end, whether somebody looks at the page or not.

public import Pipeline
public import ServiceLifecycle

/// The clock of a task's history.
public struct HistoryRecorder: Service {
    private let board: StatusBoard

    /// Creates a recorder; it takes the first point when it is run.
    public init(board: StatusBoard) {
        self.board = board
    }

    /// Takes points until graceful shutdown or cancellation.
    public func run() async {
        await cancelWhenGracefulShutdown {
            while true {
                let next = board.sample()
                do { try await Task.sleep(for: next) } catch { return }
            }
        }
    }
}
