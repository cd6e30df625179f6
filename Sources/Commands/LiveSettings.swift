// SPDX-License-Identifier: Apache-2.0

import Settings
import Synchronization

/// The settings that are in force; what asks for a password or a token asks here, each time.
final class LiveSettings: Sendable {
    private let settings: Mutex<Settings>

    /// Starts with these settings.
    init(_ settings: Settings) {
        self.settings = Mutex(settings)
    }

    /// The settings as they are now.
    var current: Settings { settings.withLock { $0 } }

    /// Puts others in force.
    func replace(_ new: Settings) {
        settings.withLock { $0 = new }
    }

    /// The way to the source as it is now.
    var source: @Sendable () -> Settings.Connection {
        { [self] in current.source }
    }

    /// The way to a postgresql sink as it is now; `former` where there is none.
    func target(_ former: Settings.Connection) -> @Sendable () -> Settings.Connection {
        { [self] in
            guard case .postgresql(let section) = current.sink else { return former }
            return section.connection
        }
    }
}
