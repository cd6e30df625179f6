// SPDX-License-Identifier: Apache-2.0
//
// The page for people at `/`: rendered here whole, numbers and graphs, so that it says everything
// without JavaScript. The script asks for the same page every two seconds and puts the parts that
// changed (those with data-live) in place of the old ones: there is one rendering, this one. Its
// size has a bound whatever the task: long lists end in how many more there are.

import ChangeModel
import Pipeline

/// One rendering of the status page.
struct StatusPage {
    /// The most tables that are listed.
    static let tableLimit = 100

    var status: TaskStatus
    var history: StatusHistory
    /// Why the task is not alive and moving; nil when it is.
    var sickness: String?
    /// Named by the style, the script and the policy of the reply.
    var nonce: String
    /// The present moment in milliseconds since 1970-01-01 UTC.
    var unixMilliseconds: Int64

    var html: String {
        let page: Markup = """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <title>\(status.task) · \(status.phase.rawValue) · walrelay</title>
            <link rel="icon" href="data:,">
            <noscript><meta http-equiv="refresh" content="5"></noscript>
            <style nonce="\(nonce)">\(Markup(ours: PageStyle.text))</style>
            </head>
            <body>
            <p id="offline" class="notice bad" role="alert" hidden></p>
            \(header)
            \(notices)
            <main>
            \(tables, if: isCopying)
            \(graphs)
            \(tables, if: !isCopying)
            \(facts)
            \(errors)
            </main>
            <footer class="quiet">
            <span id="moment" data-live>As of <time>\(time(unixMilliseconds))</time> UTC.</span>
            <noscript>Without JavaScript the page loads anew every 5 s.</noscript>
            <a href="status">status</a> <a href="history">history</a> <a href="metrics">metrics</a>
            <a href="healthz">health</a> <a href="readyz">readiness</a>
            </footer>
            <script nonce="\(nonce)">\(Markup(ours: PageScript.text))</script>
            </body>
            </html>

            """
        return page.html
    }

    /// While there is a snapshot to be made, it is what one wants to see.
    private var isCopying: Bool { status.snapshot.tablesDone < status.snapshot.tables.count }

    /// Whether what the server was last asked for is still true.
    var isConnected: Bool { [.snapshotting, .streaming, .stopping].contains(status.phase) }

    private var header: Markup {
        let uptime = status.uptimeSeconds.map { ", up \(Quantity.time(seconds: Int64($0)))" } ?? ""
        return """
            <header id="head" class="\(status.phase.rawValue)" data-live>
            <h1>\(status.task)</h1>
            <p class="phase" role="status">\(status.phase.rawValue)</p>
            <p class="sentence">\(status.sentence)</p>
            <p class="quiet">walrelay \(status.version)\(uptime)</p>
            </header>
            """
    }

    /// What needs eyes: why it is ill, the error that is not mended, warnings.
    private var notices: Markup {
        var lines: [Markup] = []
        let isFailed = status.phase == .failed
        if let sickness, !isFailed || status.lastError == nil {
            lines.append("<p class=\"notice bad\" role=\"alert\">\(sickness)</p>")
        }
        if let error = status.lastError, isFailed || status.phase == .reconnecting {
            let kind = isFailed ? "bad" : "warn"
            lines.append(
                """
                <div class="notice \(kind)" role="alert"><p>\(error.message)
                <code>\(error.code)</code></p>
                \("<p class=\"hint\">try: \(error.hint)</p>", if: !error.hint.isEmpty)</div>
                """
            )
        }
        lines += status.warnings.map { warning in
            """
            <p class="notice warn">\(warning.text) <code>\(warning.code)</code>
            <span class="quiet">since \(moment(warning.since))</span></p>
            """
        }
        return """
            <section id="notices" aria-label="Warnings" data-live\(" hidden", if: lines.isEmpty)>\
            \(Markup(lines))</section>
            """
    }

    /// An instant of the status, `2026-01-02T03:04:05.678Z`, without what is obvious today.
    func moment(_ text: String) -> String {
        let today = UTCTimestamp(unixMilliseconds: unixMilliseconds).description.prefix(10)
        guard text.count == 24, text.hasSuffix("Z") else { return text }
        let clock = text.dropFirst(11).prefix(8) + " UTC"
        return text.hasPrefix(today) ? String(clock) : text.prefix(10) + " " + clock
    }

    private func time(_ unixMilliseconds: Int64) -> String {
        String(UTCTimestamp(unixMilliseconds: unixMilliseconds).description.dropFirst(11).prefix(8))
    }
}
