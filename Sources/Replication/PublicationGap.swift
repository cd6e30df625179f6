// SPDX-License-Identifier: Apache-2.0
//
// What a publication stopped publishing while a task was under way. The server leaves it out of
// the stream without a word, by the catalog of that moment, so nothing brings it back: here it is
// told instead of mended.

public import ChangeModel
public import LibPQ

/// A publication that lacks what a task has been streaming, in the operator's words.
struct PublicationGap {
    private let publication: String
    /// What was found, after the publication's name.
    let found: String
    /// Both ways out of it.
    let mend: String

    init(
        _ state: PublicationState,
        fit: PublicationFit,
        tables: [SourceTable],
        serverVersion: Int
    ) {
        publication = state.name
        found =
            fit.gaps.joined(separator: "; ") + ", which this task has been streaming: what was "
            + "written since it was altered is not in the stream"
        let statement = Publication.mendingStatement(
            state,
            fit: fit,
            tables: tables,
            serverVersion: serverVersion
        )
        mend = "if nothing was written there since: \(statement) Otherwise: " + Self.afresh
    }

    var error: WalrelayError {
        WalrelayError(
            "publication.gap",
            exit: .checkpointMismatch,
            "publication \(publication): \(found)",
            hint: mend
        )
    }

    /// The error of a publication that is gone altogether.
    static func dropped(_ publication: String) -> WalrelayError {
        WalrelayError(
            "publication.missing",
            exit: .checkpointMismatch,
            "publication \(publication) was dropped: what was written since is not in the stream",
            hint: afresh
        )
    }

    static let afresh = "walrelay teardown, an empty sink, and run again for a new snapshot"
}

extension Publication {
    /// What the task's publication does not publish any more of these relations; `nil` where all
    /// is as it has to be.
    ///
    /// Blocks. `seen` is a position at which it still was; `now` one before this call.
    public static func gap(
        task: String,
        relations: [Relation],
        seen: LSN,
        now: LSN,
        on connection: borrowing Connection
    ) throws(PostgresError) -> WalrelayError? {
        let name = name(task: task)
        let between = "between \(seen) and \(now)"
        guard let state = try PublicationState.read(name, on: connection) else {
            var error = PublicationGap.dropped(name)
            error.message += " (\(between))"
            return error
        }
        let published = Set(state.published.map(\.oid))
        let lacking = relations.filter { !published.contains($0.oid) }.map(\.qualifiedName)
        guard !lacking.isEmpty || !state.missingActions.isEmpty else { return nil }
        let what =
            lacking
            + (state.missingActions.isEmpty
                ? []
                : [
                    "any " + state.missingActions.joined(separator: ", ")
                ])
        return WalrelayError(
            "publication.gap",
            exit: .checkpointMismatch,
            "publication \(name) was altered \(between) and does not publish "
                + "\(Prose.list(what)) any more: what was written there since is not in the sink",
            hint: "start again: the check gives the statement that mends the publication"
        )
    }
}
