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
        mend = "if nothing was written there since: \(statement) Otherwise: " + Slot.afresh
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
            hint: Slot.afresh
        )
    }
}

extension Publication {
    /// The publication's OID; `nil` where there is none.
    ///
    /// Blocks.
    public static func oid(
        task: String,
        on connection: borrowing Connection
    ) throws(PostgresError) -> UInt32? {
        let row = try connection.query(
            "SELECT oid FROM pg_catalog.pg_publication "
                + "WHERE pubname = \(SQL.literal(name(task: task)))"
        )
        return row.count == 1 ? row.oid(0, 0) : nil
    }

    /// The error of a publication that was dropped and made again under a task.
    ///
    /// Up to 17 the server cannot decode what was written between; from 18 on it leaves that out
    /// of the stream with no more than a line in its own log.
    public static func remade(task: String, since position: LSN) -> WalrelayError {
        WalrelayError(
            "publication.remade",
            exit: .checkpointMismatch,
            "publication \(name(task: task)) was dropped and made again after \(position): what "
                + "was written between is not in the stream",
            hint: Slot.afresh
        )
    }

    /// What the task's publication does not publish any more of these relations; `nil` where all
    /// is as it has to be.
    ///
    /// Blocks. `seen` is a position at which it still was; `now` one before this call.
    public static func gap(
        task: String,
        relations: [Relation],
        oid known: UInt32?,
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
        if let known, try oid(task: task, on: connection) != known {
            return remade(task: task, since: seen)
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
