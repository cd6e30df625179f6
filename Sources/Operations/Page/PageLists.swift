// SPDX-License-Identifier: Apache-2.0
//
// The lists of the page: tables of the snapshot, facts of stream, source and sink, certificates,
// and the errors of late. Each is bounded, and says how much it leaves out.

import ChangeModel
import Pipeline

// MARK: - The snapshot

extension StatusPage {
    var tables: Markup {
        let snapshot = status.snapshot
        guard !snapshot.tables.isEmpty else { return "" }
        let isDone = snapshot.tablesDone == snapshot.tables.count
        // What moves comes first, what is done last.
        let states: [TaskStatus.Snapshot.Table.State] = [.copying, .waiting, .done]
        let ordered = states.lazy.flatMap { state in snapshot.tables.filter { $0.state == state } }
        let shown = ordered.prefix(Self.tableLimit)
        return """
            <details id="snapshot" class="card"\(" open", if: !isDone)>
            <summary><h2>Snapshot</h2> <span id="snapshot-sum" data-live>\(sum(of: snapshot))\
            </span></summary>
            <div class="scroll" tabindex="0" role="region" aria-label="Tables of the snapshot">
            <table><thead><tr><th scope="col">Table</th><th scope="col">State</th>\
            <th scope="col">Progress</th><th scope="col" class="n">Rows</th>\
            <th scope="col" class="n wide">Expected</th><th scope="col" class="n wide">Rows/s</th>\
            <th scope="col" class="n">Left</th><th scope="col" class="n">Size</th></tr></thead>
            <tbody id="snapshot-tables" data-live>\(Markup(shown.map(row)))\
            \(rest(of: snapshot.tables))</tbody></table></div>
            </details>
            """
    }

    private func sum(of snapshot: TaskStatus.Snapshot) -> Markup {
        var parts = [
            "\(Quantity.count(snapshot.tablesDone)) of "
                + "\(Prose.count(snapshot.tables.count, "table")) done",
            "\(Quantity.count(snapshot.rowsCopied)) rows",
            Quantity.bytes(Int64(snapshot.bytesCopied)),
        ]
        if let rate = snapshot.rowsPerSecond { parts.append("\(Quantity.count(rate)) rows/s") }
        if snapshot.tablesDone < snapshot.tables.count {
            parts.append("\(Self.time(snapshot.secondsLeft)) left")
        }
        return "\(Self.bar(snapshot.share, of: "the snapshot")) · \(parts.joined(separator: " · "))"
    }

    private func row(_ table: TaskStatus.Snapshot.Table) -> Markup {
        let rate = table.rowsPerSecond.map { Quantity.count($0) } ?? ""
        return """
            <tr class="\(table.state.rawValue)"><th scope="row">\(table.table.cut(to: 140))</th>\
            <td>\(table.state.rawValue)</td>\
            <td>\(Self.bar(table.share, of: table.table.cut(to: 140)))</td>\
            <td class="n">\(Quantity.count(table.rowsCopied))</td>\
            <td class="n wide">\(table.rowsEstimated.map { Quantity.count($0) } ?? Quantity.unknown)</td>\
            <td class="n wide">\(rate)</td>\
            <td class="n">\(table.state == .copying ? Self.time(table.secondsLeft) : "")</td>\
            <td class="n">\(Quantity.bytes(Int64(table.bytesCopied)))</td></tr>

            """
    }

    private func rest(of tables: [TaskStatus.Snapshot.Table]) -> Markup {
        guard tables.count > Self.tableLimit else { return "" }
        let more = Quantity.count(tables.count - Self.tableLimit)
        return """
            <tr><td colspan="8" class="quiet">and \(more) more; <a href="status">status</a> has all
            of them</td></tr>
            """
    }

    /// A bar with its number; without a share only the unknown's dash.
    private static func bar(_ share: Double?, of what: String) -> Markup {
        guard let share else { return "<span class=\"bar\">\(Quantity.unknown)</span>" }
        let percent = Int(share * 100)
        return """
            <span class="bar"><progress max="100" value="\(percent)" aria-label="\(what)"></progress>\
            \(percent) %</span>
            """
    }

    private static func time(_ seconds: Int?) -> String {
        seconds.map { Quantity.estimate(seconds: $0) } ?? Quantity.unknown
    }
}

// MARK: - Facts

extension StatusPage {
    var facts: Markup {
        let source = status.source
        let stream = status.stream
        let bytes = { (count: Int?) in count.map { Quantity.bytes(Int64($0)) } }
        return """
            <div class="cards">
            \(list("Stream", id: "facts-stream", [
                ("Changes", Quantity.count(stream.changes)),
                ("Transactions", Quantity.count(stream.transactions)),
                ("Received", stream.receivedLSN), ("Durable", stream.durableLSN),
                ("Confirmed", source.confirmedFlushLSN), ("End of WAL", source.walLSN),
                ("Tables", stream.tablesText),
            ]))
            \(list("Source", id: "facts-source", [
                ("Server", source.serverVersion.map { "PostgreSQL \($0)" }),
                ("Slot", source.slot), ("WAL status", source.walStatus),
                ("WAL kept", bytes(source.retainedBytes)), ("Kept from", source.restartLSN),
                ("Kept at most", bytes(source.retention?.limitBytes ?? source.retention?.stopBytes)),
                (
                    "Reached in",
                    source.retention?.forecastSeconds.map { Quantity.estimate(seconds: $0) }
                ),
                ("Publication", source.publication), ("System", source.systemIdentifier),
            ]))
            \(list("Sink", id: "facts-sink", sink))
            </div>
            \(certificates)
            """
    }

    private func list(_ title: Markup, id: Markup, _ rows: [(String, String?)]) -> Markup {
        let entries = rows.map { name, value -> Markup in
            "<dt>\(name)</dt><dd>\((value ?? Quantity.unknown).cut(to: 300))</dd>\n"
        }
        return
            "<section class=\"card\"><h2>\(title)</h2><dl id=\"\(id)\" data-live>\(Markup(entries))</dl></section>"
    }

    private var sink: [(String, String?)] {
        [("Kind", status.sink.kind)]
            + status.sink.details.sorted { $0.key < $1.key }.filter { $0.key != "kind" }.prefix(40)
            .map { name, detail in
                let (label, unit) = TaskStatus.Sink.shown(name)
                return switch detail {
                case .text(let text): (name, text)
                case .number(let number): (label, Self.detail(number, unit))
                }
            }
    }

    private static func detail(_ value: Int, _ unit: TaskStatus.Sink.Unit) -> String {
        switch unit {
        case .bytes: Quantity.bytes(Int64(value))
        case .microseconds: Quantity.time(microseconds: Int64(value))
        case .none: Quantity.count(value)
        }
    }

    private var certificates: Markup {
        guard let certificates = status.certificates, !certificates.isEmpty else { return "" }
        return """
            <section class="card"><h2>Certificates</h2>
            <div class="scroll" tabindex="0" role="region" aria-label="Certificates">
            <table><thead><tr><th scope="col">Of</th><th scope="col">Names</th>\
            <th scope="col" class="n wide">Valid until</th><th scope="col" class="n">Left</th></tr></thead>
            <tbody id="certificates" data-live>\(Markup(certificates.prefix(20).map(row)))</tbody>\
            </table></div></section>
            """
    }

    private func row(_ certificate: TaskStatus.Certificate) -> Markup {
        let days = (certificate.notAfterSeconds - unixMilliseconds / 1000) / 86_400
        let isOver = certificate.notAfterSeconds * 1000 < unixMilliseconds
        let kind = isOver ? "bad" : days < 30 ? "warn" : "good"
        return """
            <tr><th scope="row">\(certificate.server.rawValue), \(certificate.certificate)</th>\
            <td>\(certificate.subject.cut(to: 200))</td>\
            <td class="n wide">\(String(certificate.notAfter.prefix(10)))</td>\
            <td class="n \(kind)">\(isOver ? "expired" : Prose.count(Int(days), "day"))</td></tr>

            """
    }
}

// MARK: - Errors

extension StatusPage {
    var errors: Markup {
        let items = status.recentErrors.map { error -> Markup in
            let often =
                error.count > 1
                ? " · \(Quantity.count(error.count)) times since \(moment(error.firstAt))" : ""
            return """
                <li><p><span class="quiet">\(moment(error.at))\(often)</span> <code>\(error.code)\
                </code></p><p>\(error.message)</p>\
                \("<p class=\"hint\">try: \(error.hint)</p>", if: !error.hint.isEmpty)</li>

                """
        }
        let none: Markup = "<li class=\"quiet\">none since the start</li>"
        return """
            <section class="card"><h2>Errors of late</h2>\
            <ol id="errors" data-live>\(items.isEmpty ? none : Markup(items))</ol></section>
            """
    }
}
