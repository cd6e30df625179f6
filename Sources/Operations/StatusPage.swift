// SPDX-License-Identifier: Apache-2.0
//
// The page for people at `/`: rendered here with the numbers of the moment, so that it says
// everything without JavaScript; the script then asks /status every two seconds and rewrites the
// same places. Each place carries data-field with the path in /status. Every value is escaped here
// and set by textContent there, never as markup.

import Pipeline

/// One rendering of the status page.
struct StatusPage {
    var status: TaskStatus
    var sickness: String?
    /// Named by the style, the script and the policy of the reply.
    var nonce: String

    var html: String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>\(Self.escape(status.task)) · walrelay</title>
        <link rel="icon" href="data:,">
        <style nonce="\(nonce)">\(StatusPageAssets.style)</style>
        </head>
        <body>
        <header>
        <h1 data-field="task">\(Self.escape(status.task))</h1>
        <span id="phase" class="phase \(status.phase.rawValue)" data-field="phase"\
        >\(status.phase.rawValue)</span>
        <span class="quiet">walrelay <span data-field="version">\(Self.escape(status.version))\
        </span></span>
        </header>
        <p id="offline" class="alarm" role="alert" hidden></p>
        \(alarm)
        \(error)
        <main>
        \(tiles)
        \(tables)
        \(facts)
        </main>
        <footer class="quiet"><a href="/status">status</a> · <a href="/metrics">metrics</a> ·
        <a href="/healthz">health</a> · <a href="/readyz">readiness</a></footer>
        <script nonce="\(nonce)">\(StatusPageAssets.script)</script>
        </body>
        </html>

        """
    }

    private var alarm: String {
        let hidden = sickness == nil ? " hidden" : ""
        return "<p id=\"alarm\" class=\"alarm\" role=\"alert\"\(hidden)>"
            + "\(Self.escape(sickness ?? ""))</p>"
    }

    private var error: String {
        let failure = status.lastError
        return """
            <section id="error" class="error"\(failure == nil ? " hidden" : "")>
            <h2>Last error</h2>
            <p><span data-field="lastError.message">\(Self.escape(failure?.message ?? ""))</span>
            <code data-field="lastError.code">\(Self.escape(failure?.code ?? ""))</code>
            <time data-field="lastError.at">\(Self.escape(failure?.at ?? ""))</time></p>
            <p class="hint" data-field="lastError.hint">\(Self.escape(failure?.hint ?? ""))</p>
            </section>
            """
    }

    private var tiles: String {
        let stream = status.stream
        let rate = PageNumber.rate(stream.changesPerSecond)
        let lag = PageNumber.milliseconds(stream.lagMilliseconds)
        let behind = PageNumber.bytes(status.source.lagBytes)
        let retained = PageNumber.bytes(status.source.retainedBytes)
        return """
            <section class="tiles" aria-label="Now">
            \(tile("Throughput", "stream.changesPerSecond", "rate", rate))
            \(tile("Commit to durable", "stream.lagMilliseconds", "ms", lag))
            \(tile("Behind the server", "source.lagBytes", "bytes", behind))
            \(tile("WAL kept for the slot", "source.retainedBytes", "bytes", retained))
            </section>
            """
    }

    private func tile(
        _ title: String,
        _ field: String,
        _ format: String,
        _ value: String
    )
        -> String
    {
        """
        <div class="tile"><h2>\(title)</h2>
        <p class="number" data-field="\(field)" data-format="\(format)">\(value)</p>
        <svg data-spark="\(field)" viewBox="0 0 240 40" preserveAspectRatio="none" role="img"\
         aria-label="\(title), the last minutes"></svg></div>
        """
    }

    private var tables: String {
        let rows = status.snapshot.tables.map { table in
            """
            <tr><td>\(Self.escape(table.table))</td><td>\(table.state.rawValue)</td>\
            <td class="n">\(PageNumber.count(table.rowsCopied))</td>\
            <td class="n">\(PageNumber.count(table.rowsEstimated))</td>\
            <td class="n">\(PageNumber.bytes(table.bytesCopied))</td>\
            <td>\(progress(of: table))</td></tr>
            """
        }
        return """
            <section id="snapshot"\(rows.isEmpty ? " hidden" : "")>
            <h2>Snapshot</h2>
            <div class="scroll"><table><thead><tr><th scope="col">table</th>\
            <th scope="col">state</th><th scope="col" class="n">rows</th>\
            <th scope="col" class="n">expected</th><th scope="col" class="n">bytes</th>\
            <th scope="col">progress</th></tr></thead>
            <tbody>\(rows.joined(separator: "\n"))</tbody></table></div>
            </section>
            """
    }

    private func progress(of table: TaskStatus.Snapshot.Table) -> String {
        if table.state == .done { return "<progress max=\"1\" value=\"1\"></progress>" }
        guard let expected = table.rowsEstimated, expected > 0 else { return "" }
        // An estimate may be too low; a table that is not done never shows as full.
        let share = min(0.99, Double(table.rowsCopied) / Double(expected))
        return "<progress max=\"1\" value=\"\(share)\"></progress>"
    }

    private var facts: String {
        let source = status.source
        let stream = status.stream
        let known: [(String, String, String, String)] = [
            ("Changes", "stream.changes", "count", PageNumber.count(stream.changes)),
            ("Transactions", "stream.transactions", "count", PageNumber.count(stream.transactions)),
            ("Received", "stream.receivedLSN", "", Self.text(stream.receivedLSN)),
            ("Durable", "stream.durableLSN", "", Self.text(stream.durableLSN)),
            ("Confirmed", "source.confirmedFlushLSN", "", Self.text(source.confirmedFlushLSN)),
            ("Restart", "source.restartLSN", "", Self.text(source.restartLSN)),
            ("End of WAL", "source.walLSN", "", Self.text(source.walLSN)),
            ("WAL status", "source.walStatus", "", Self.text(source.walStatus)),
            ("Server", "source.serverVersion", "", Self.text(source.serverVersion)),
            ("System", "source.systemIdentifier", "", Self.text(source.systemIdentifier)),
            ("Slot", "source.slot", "", Self.text(source.slot)),
            ("Publication", "source.publication", "", Self.text(source.publication)),
        ]
        let rows = known.map { title, field, format, value in
            "<dt>\(title)</dt><dd data-field=\"\(field)\" data-format=\"\(format)\">\(value)</dd>"
        }
        return """
            <section><h2>Stream and source</h2><dl>\(rows.joined(separator: "\n"))</dl></section>
            <section><h2>Sink</h2><dl id="sink">\(sink)</dl></section>
            """
    }

    private var sink: String {
        let details = status.sink.details.sorted { $0.key < $1.key }.filter { $0.key != "kind" }
        let rows = details.map { name, detail in
            let (label, unit) = TaskStatus.Sink.shown(name)
            return switch detail {
            case .text(let text): (name, Self.escape(text))
            case .number(let number): (label, PageNumber.detail(number, unit))
            }
        }
        return ([("kind", Self.escape(status.sink.kind))] + rows)
            .map { "<dt>\(Self.escape($0.0))</dt><dd>\($0.1)</dd>" }.joined(separator: "\n")
    }

    private static func text(_ value: String?) -> String {
        value.map(escape) ?? PageNumber.unknown
    }

    /// Makes a text safe between tags and inside quoted attributes.
    static func escape(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            case "\0": escaped += "\u{fffd}"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}

/// Numbers as the page shows them; the script has the same rules.
enum PageNumber {
    static let unknown = "–"

    static func count(_ value: Int?) -> String {
        guard let value else { return unknown }
        var digits = String(value.magnitude)
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits = String(digits.dropLast(3))
        }
        return (value < 0 ? "-" : "") + ([digits] + groups).joined(separator: "\u{202f}")
    }

    static func rate(_ value: Double) -> String {
        guard value.isFinite else { return unknown }
        let text = value < 10 ? String((value * 10).rounded() / 10) : count(Int(value.rounded()))
        return text + " changes/s"
    }

    static func milliseconds(_ value: Int?) -> String {
        guard let value else { return unknown }
        return value < 10_000 ? count(value) + " ms" : count(value / 1000) + " s"
    }

    static func detail(_ value: Int, _ unit: TaskStatus.Sink.Unit) -> String {
        switch unit {
        case .bytes: bytes(value)
        case .microseconds:
            switch value {
            case ..<1000: "\(value) µs"
            case ..<10_000: "\((Double(value) / 100).rounded() / 10) ms"
            default: milliseconds(value / 1000)
            }
        case .none: count(value)
        }
    }

    static func bytes(_ value: Int?) -> String {
        guard let value else { return unknown }
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var scaled = Double(value)
        var unit = 0
        while abs(scaled) >= 1024, unit < units.count - 1 {
            scaled /= 1024
            unit += 1
        }
        guard unit > 0 else { return "\(value) B" }
        return "\((scaled * 10).rounded() / 10) \(units[unit])"
    }
}
