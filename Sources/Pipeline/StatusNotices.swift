// SPDX-License-Identifier: Apache-2.0
//
// What a task has to say to its operator beside numbers: warnings, which stand until their reason
// is gone, and the errors of late, which stay for whoever comes to look afterwards. Both lists are
// short whatever happens. Pure: the times are passed in.

extension TaskStatus {
    /// Something that does not stop the task yet, and will or may if nobody looks.
    ///
    /// Set and taken back by its code: ``StatusBoard/warn(_:_:)`` and
    /// ``StatusBoard/clearWarning(_:)``.
    public struct Warning: Sendable, Codable, Equatable {
        /// The most warnings at a time; a further code takes the oldest one's place.
        static let limit = 32

        /// What it is about: stable and dotted, such as `slot.retention`.
        public var code: String
        /// One or two sentences, with numbers and the next step; may change while it stands.
        public var text: String
        /// When it was set first, as ISO 8601 in UTC with milliseconds.
        public var since: String

        /// Creates a warning.
        public init(code: String, text: String, since: String) {
            self.code = code
            self.text = text
            self.since = since
        }
    }

    /// An error of late, and how often it came.
    public struct RecentError: Sendable, Codable, Equatable {
        /// The most errors that are kept; the one that came last longest ago gives way.
        static let limit = 10

        /// The error's stable dotted code.
        public var code: String
        /// What failed.
        public var message: String
        /// What to do next; empty where there is nothing to propose.
        public var hint: String
        /// When it came last, as ISO 8601 in UTC with milliseconds.
        public var at: String
        /// When it came first.
        public var firstAt: String
        /// How often it came, at least once.
        public var count: Int

        /// Creates a record of an error that came once, or more often.
        public init(_ failure: Failure, firstAt: String? = nil, count: Int = 1) {
            code = failure.code
            message = failure.message
            hint = failure.hint
            at = failure.at
            self.firstAt = firstAt ?? failure.at
            self.count = count
        }
    }

    /// Sets a warning, or gives one that stands a new text.
    mutating func warn(_ code: String, _ text: String, at time: String) {
        if let index = warnings.firstIndex(where: { $0.code == code }) {
            warnings[index].text = text
        } else {
            if warnings.count >= Warning.limit { warnings.removeFirst() }
            warnings.append(Warning(code: code, text: text, since: time))
        }
    }

    /// Takes an error into the list, the newest first; one that is there already is counted.
    mutating func remember(_ failure: Failure) {
        let index = recentErrors.firstIndex {
            $0.code == failure.code && $0.message == failure.message
        }
        let former = index.map { recentErrors.remove(at: $0) }
        recentErrors.insert(
            RecentError(
                failure,
                firstAt: former?.firstAt,
                count: (former?.count ?? 0) + 1
            ),
            at: 0
        )
        if recentErrors.count > RecentError.limit { recentErrors.removeLast() }
    }
}
