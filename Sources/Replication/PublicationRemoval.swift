// SPDX-License-Identifier: Apache-2.0
//
// The end of a task's publication. One that somebody made for the task beforehand is theirs: it
// stays, and what it takes to drop it is said.

public import ChangeModel
public import LibPQ

extension Publication {
    /// What became of a publication that was to be dropped.
    public enum Removal: Sendable, Equatable {
        case dropped
        /// There was none.
        case absent
        /// It belongs to somebody else.
        case left(owner: String)

        /// A line for people.
        public func text(of name: String) -> String {
            switch self {
            case .dropped: "dropped publication \(name)"
            case .absent: "there was no publication \(name)"
            case .left(let owner):
                "left publication \(name), which belongs to \(owner); without use it costs "
                    + "nothing, and its owner drops it by: DROP PUBLICATION \(SQL.identifier(name));"
            }
        }
    }

    /// Drops the publication, unless it is somebody else's.
    ///
    /// Only after the slot is gone: what a slot still has to decode needs its publication. Blocks.
    @discardableResult
    public static func drop(
        task: String,
        on connection: borrowing Connection
    ) throws(WalrelayError) -> Removal {
        let name = name(task: task)
        do {
            let found = try connection.query(
                """
                SELECT pg_catalog.pg_has_role(pubowner, 'USAGE'), \
                pg_catalog.pg_get_userbyid(pubowner) \
                FROM pg_catalog.pg_publication WHERE pubname = \(SQL.literal(name))
                """
            )
            guard found.count > 0 else { return .absent }
            guard found.flag(0, 0) else { return .left(owner: found.text(0, 1)) }
            try connection.query("DROP PUBLICATION IF EXISTS \(SQL.identifier(name))")
            return .dropped
        } catch {
            throw WalrelayError(error, while: "dropping publication \(name)")
        }
    }
}
