// SPDX-License-Identifier: Apache-2.0
//
// Where a server's WAL comes from. Each promotion begins a timeline: what the former primary wrote
// behind that point is in no WAL of the new one, though its positions go on from there as if it
// were. The server hands out the file in which it keeps this:
//
//   1<tab>0/3000148<tab>no recovery target specified       timeline 1 up to 0/3000148
//   2<tab>0/5000000<tab>…                                  then 2, and so on to the present one

public import ChangeModel
public import LibPQ

/// The timelines that a server's own has come from.
public struct TimelineHistory: Sendable, Equatable {
    /// Up to where each former timeline counts.
    private(set) var ends: [UInt32: LSN] = [:]

    /// Reads the history of a timeline from the server; blocks.
    ///
    /// The connection speaks the replication protocol. Throws `PostgresError`.
    public init(
        of timeline: UInt32,
        on connection: borrowing Connection
    ) throws(PostgresError) {
        // The first one has come from none, and has no file.
        guard timeline > 1 else {
            self.init(parsing: "")
            return
        }
        let answer = try connection.query("TIMELINE_HISTORY \(timeline)")
        self.init(parsing: answer.text(0, 1))
    }

    /// Reads the text of a history file; what is no entry is passed over, as the server does.
    init(parsing text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            let fields = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard fields.count > 1, let timeline = UInt32(fields[0]), let end = LSN(fields[1])
            else { continue }
            ends[timeline] = end
        }
    }

    /// Up to where a former timeline belongs to the server's past; `nil` where it does not at all.
    public func end(of timeline: UInt32) -> LSN? { ends[timeline] }
}
