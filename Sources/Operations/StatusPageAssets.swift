// SPDX-License-Identifier: Apache-2.0
//
// Style and script of the status page, kept inside the executable: the page loads nothing from
// elsewhere. The script keeps at most 150 points a line (five minutes at one in two seconds).

enum StatusPageAssets {
    static let style = """
        :root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b1f24;--quiet:#5c6570;
        --line:#d9dee4;--accent:#0b63c5;--good:#1a7f37;--warn:#8a5a00;--bad:#b3261e}
        @media (prefers-color-scheme:dark){:root{--bg:#0f1216;--card:#181d23;--ink:#e6e9ed;
        --quiet:#98a2ad;--line:#2b323a;--accent:#66a9f7;--good:#4cc26b;--warn:#e0a93b;--bad:#ff8a80}}
        *{box-sizing:border-box}
        body{margin:0 auto;max-width:72rem;padding:1.5rem;background:var(--bg);color:var(--ink);
        font:15px/1.5 system-ui,sans-serif}
        header{display:flex;flex-wrap:wrap;align-items:baseline;gap:.75rem;margin-bottom:1rem}
        h1{font-size:1.5rem;margin:0;overflow-wrap:anywhere}
        h2{font-size:.8rem;font-weight:600;margin:0 0 .4rem;color:var(--quiet)}
        section{margin:0 0 1rem;padding:1rem;background:var(--card);border:1px solid var(--line);
        border-radius:8px}
        section.tiles{display:grid;gap:1rem;padding:0;background:none;border:0;
        grid-template-columns:repeat(auto-fit,minmax(14rem,1fr))}
        .tile{padding:1rem;background:var(--card);border:1px solid var(--line);border-radius:8px}
        .number{font-size:1.4rem;margin:0;font-variant-numeric:tabular-nums}
        svg{display:block;width:100%;height:40px;margin-top:.5rem}
        polyline{fill:none;stroke:var(--accent);stroke-width:1.5;vector-effect:non-scaling-stroke}
        .phase{padding:.1rem .6rem;border-radius:1rem;border:1px solid currentColor;
        color:var(--accent)}
        .phase.streaming{color:var(--good)}.phase.failed{color:var(--bad)}
        .phase.reconnecting,.phase.stopping,.phase.standby{color:var(--warn)}
        .alarm,.error{border:1px solid var(--bad);border-radius:8px}
        .alarm{padding:.75rem 1rem;color:var(--bad)}
        .error p{margin:0;overflow-wrap:anywhere}.hint:empty{display:none}
        .quiet,time{color:var(--quiet)}a{color:var(--accent)}
        .scroll{overflow-x:auto}table{width:100%;border-collapse:collapse}
        th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line)}
        th{font-weight:600;color:var(--quiet)}td:first-child{min-width:9rem;overflow-wrap:anywhere}
        .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
        progress{width:8rem;accent-color:var(--accent)}
        dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.25rem;margin:0}
        @media (min-width:48rem){dl{grid-template-columns:max-content 1fr max-content 1fr}}
        dt{color:var(--quiet)}
        dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
        [hidden]{display:none!important}
        """

    static let script = #"""
        "use strict";
        (() => {
          const none = "\u2013", limit = 150, pause = 2000, lines = new Map();
          const at = (object, path) =>
            path.split(".").reduce((v, key) => (v === null || v === undefined ? v : v[key]), object);
          const count = v => String(Math.round(v)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
          const bytes = v => {
            const units = ["B", "KiB", "MiB", "GiB", "TiB"];
            let unit = 0;
            while (Math.abs(v) >= 1024 && unit < units.length - 1) { v /= 1024; unit += 1; }
            return (unit ? v.toFixed(1) : String(v)) + " " + units[unit];
          };
          const formats = {
            count, bytes,
            rate: v => (v < 10 ? v.toFixed(1) : count(v)) + " changes/s",
            us: v => v < 1000 ? v + " \u00b5s"
              : v < 10000 ? (v / 1000).toFixed(1) + " ms" : formats.ms(Math.floor(v / 1000)),
            ms: v => (v < 10000 ? count(v) + " ms" : count(Math.floor(v / 1000)) + " s"),
          };
          const show = (value, format) => {
            if (value === null || value === undefined) return none;
            return typeof value === "number" && formats[format]
              ? formats[format](value) : String(value);
          };
          const element = (name, text, className) => {
            const node = document.createElement(name);
            if (text !== undefined) node.textContent = text;
            if (className) node.className = className;
            return node;
          };
          const draw = (svg, value) => {
            const points = lines.get(svg) || [];
            lines.set(svg, points);
            points.push(typeof value === "number" ? value : 0);
            if (points.length > limit) points.shift();
            const top = Math.max(...points, 1e-9);
            const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
            line.setAttribute("points", points.map((v, i) =>
              (240 - (points.length - 1 - i) * 240 / (limit - 1)).toFixed(1) + ","
              + (38 - Math.max(v, 0) / top * 36).toFixed(1)).join(" "));
            svg.replaceChildren(line);
          };
          const bar = table => {
            const cell = element("td");
            const share = table.state === "done" ? 1
              : table.rowsEstimated > 0 ? Math.min(0.99, table.rowsCopied / table.rowsEstimated) : null;
            if (share !== null) {
              const progress = element("progress");
              progress.max = 1;
              progress.value = share;
              cell.append(progress);
            }
            return cell;
          };
          const tables = list => {
            document.getElementById("snapshot").hidden = list.length === 0;
            document.querySelector("#snapshot tbody").replaceChildren(...list.map(table => {
              const row = element("tr");
              row.append(element("td", table.table), element("td", table.state),
                element("td", show(table.rowsCopied, "count"), "n"),
                element("td", show(table.rowsEstimated, "count"), "n"),
                element("td", show(table.bytesCopied, "bytes"), "n"), bar(table));
              return row;
            }));
          };
          const sink = details => {
            const names = ["kind", ...Object.keys(details).filter(name => name !== "kind").sort()];
            document.getElementById("sink").replaceChildren(...names.flatMap(name => {
              const isTime = typeof details[name] === "number" && /.Microseconds$/.test(name);
              const format = isTime ? "us" : /Bytes$|^bytes/.test(name) ? "bytes" : "count";
              return [element("dt", isTime ? name.slice(0, -12) : name),
                element("dd", show(details[name], format))];
            }));
          };
          const apply = status => {
            for (const node of document.querySelectorAll("[data-field]")) {
              const value = at(status, node.dataset.field);
              const isError = node.dataset.field.startsWith("lastError.");
              node.textContent = isError && !value ? "" : show(value, node.dataset.format);
            }
            for (const svg of document.querySelectorAll("[data-spark]"))
              draw(svg, at(status, svg.dataset.spark));
            document.getElementById("phase").className = "phase " + status.phase;
            document.getElementById("error").hidden = status.lastError === null;
            tables(status.snapshot.tables);
            sink(status.sink);
          };
          const tell = (id, text) => {
            const node = document.getElementById(id);
            node.hidden = !text;
            node.textContent = text || "";
          };
          const poll = async () => {
            try {
              const options = { cache: "no-store", signal: AbortSignal.timeout(5000) };
              const [status, health] = await Promise.all(
                [fetch("/status", options), fetch("/healthz", options)]);
              apply(await status.json());
              tell("alarm", health.ok ? "" : (await health.text()).trim());
              tell("offline", "");
            } catch (error) {
              tell("offline", "The daemon does not answer; the numbers below are old.");
            }
            setTimeout(poll, pause);
          };
          poll();
        })();
        """#
}
