// SPDX-License-Identifier: Apache-2.0
//
// Looks at the source's catalog every few seconds on a connection of its own: whether a table that
// is taken was dropped or is not published any more, which the stream does not say.

import ChangeModel
import LibPQ
import Logging
import Replication
import Synchronization

/// Which of the checkpoint's tables the catalog still has.
struct CatalogWatch: Sendable {
    let selection: TableSelection
    let baseline: SchemaBaseline

    /// Asks the catalog; blocks.
    init(
        known: [Relation],
        selection: TableSelection,
        on connection: borrowing Connection
    ) throws {
        self.selection = selection
        baseline = try Self.compare(known, selection, on: connection)
    }

    /// What the catalog says now.
    func look(on connection: borrowing Connection) throws -> SchemaBaseline {
        try Self.compare(baseline.relations, selection, on: connection)
    }

    private static func compare(
        _ known: [Relation],
        _ selection: TableSelection,
        on connection: borrowing Connection
    ) throws -> SchemaBaseline {
        guard !known.isEmpty else {
            return SchemaBaseline(known: [], names: [:], selection: selection)
        }
        let oids = known.map { "\($0.oid)" }.joined(separator: ",")
        let rows = try connection.query(
            """
            SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN (\(oids))
            """
        )
        var names: [UInt32: (schema: String, name: String)] = [:]
        for row in 0..<rows.count {
            guard let oid = UInt32(rows.text(row, 0)) else { continue }
            names[oid] = (rows.text(row, 1), rows.text(row, 2))
        }
        return SchemaBaseline(known: known, names: names, selection: selection)
    }
}

/// Watches the source while a stream runs.
final class SourceMonitor: Sendable {
    private static let interval: Duration = .seconds(2)

    private let watch: CatalogWatch
    private let publicationOID: UInt32?
    private let options: TaskOptions
    private let ended = StopSignal()
    private let log: Logger
    private let found = Mutex<(position: LSN, error: WalrelayError)?>(nil)

    init(
        watch: CatalogWatch,
        publicationOID: UInt32?,
        options: TaskOptions,
        facts: ServerFacts,
        log: Logger
    ) {
        self.watch = watch
        self.publicationOID = publicationOID
        self.options = options
        self.log = log
        startThread(named: "monitor") { [self] in run(from: facts.walLSN) }
    }

    func end() { ended.request() }

    /// The refusal of a lost table or of a publication that lacks one.
    ///
    /// `nil` until everything before its discovery is durable.
    func refusal(durable: LSN) -> WalrelayError? {
        found.withLock { found in
            guard let found, durable >= found.position else { return nil }
            return found.error
        }
    }

    private func run(from start: LSN) {
        // Where all was well when it was looked last.
        var wellAt = start
        while !ended.isRequested {
            do {
                let connection = try Connection.open(options.source.for(.monitor), stop: ended)
                repeat {
                    try look(on: connection, wellAt: &wellAt)
                } while !ended.sleep(for: Self.interval)
            } catch {
                log.debug("looking at the source: \(error)")
                ended.sleep(for: Self.interval)
            }
        }
    }

    private func look(on connection: borrowing Connection, wellAt: inout LSN) throws {
        let facts = try ServerFacts(on: connection)
        // In this order: what is in the catalog afterwards was there to be published before.
        let gap = try Publication.gap(
            task: options.task,
            relations: watch.baseline.relations,
            oid: publicationOID,
            seen: wellAt,
            now: facts.walLSN,
            on: connection
        )
        let catalog = try watch.look(on: connection)
        if !catalog.losses.isEmpty {
            // Asked after the look: what took the table away may have been committed since `facts`.
            let now = try CommittedPosition.now(on: connection, stop: ended)
            if let refusal = catalog.refusal(at: now) {
                found.withLock { $0 = $0 ?? (now, refusal) }
            }
        } else if let gap {
            found.withLock { $0 = $0 ?? (facts.walLSN, gap) }
        } else {
            wellAt = facts.walLSN
        }
    }
}
