// SPDX-License-Identifier: Apache-2.0
//
// The script of the status page: asks for the page anew every two seconds (every thirty where the
// tab is not seen), puts the parts that changed in place of the old ones, says since when there is
// no answer, and reads the graphs out under the pointer or the arrow keys. What comes is parsed as
// a document of its own, in which no script runs, and was made harmless by the server.

enum PageScript {
    static let text = #"""
        "use strict";
        (() => {
          const here = new URL("./", location.href);
          here.username = here.password = "";
          const ask = async path => {
            const options = { cache: "no-store", signal: AbortSignal.timeout(5000) };
            const reply = await fetch(new URL(path, here), options);
            const text = await reply.text();
            if (!reply.ok) throw new Error("HTTP " + reply.status + ", " + text.trim().slice(0, 200));
            return text;
          };
          const clock = date => date.toLocaleTimeString("en-GB");

          const live = root => [...root.querySelectorAll("[data-live]")];
          const names = root => live(root).map(node => node.id).join(" ");
          const merge = text => {
            // Without its head: that has a style of its own, for which this page has no leave.
            const body = text.slice(text.indexOf("<body>"));
            const fresh = new DOMParser().parseFromString(body, "text/html");
            const main = document.querySelector("main"), next = fresh.querySelector("main");
            if (!next) throw new Error("another program answers");
            // A part that is new, or not there any more: then all of them.
            if (names(main) !== names(next)) main.replaceWith(next);
            const old = new Map(live(document).map(node => [node.id, node]));
            for (const node of live(fresh)) {
              const former = old.get(node.id);
              if (former && former.outerHTML !== node.outerHTML) former.replaceWith(node);
            }
            document.title = ["h1", ".phase"].map(name => document.querySelector(name).textContent)
              .concat("walrelay").join(" · ");
          };

          let timer, isAsking = false, answered = new Date();
          const tell = error => {
            const line = document.getElementById("offline"), isRefusal = error.message.startsWith("HTTP");
            line.textContent = "No answer since " + clock(answered) + (isRefusal ? " (" + error.message
              + ")" : "") + ". What is shown is from then; asking again.";
            line.hidden = false;
            document.body.classList.add("off");
            document.title = "no answer · " + document.querySelector("h1").textContent;
          };
          const refresh = async () => {
            if (isAsking) return;
            isAsking = true;
            clearTimeout(timer);
            try {
              merge(await ask("./"));
              answered = new Date();
              document.getElementById("offline").hidden = true;
              document.body.classList.remove("off");
            } catch (error) {
              tell(error);
            }
            isAsking = false;
            timer = setTimeout(refresh, document.hidden ? 30000 : 2000);
          };
          document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
          timer = setTimeout(refresh, 2000);

          const count = v => (Math.abs(v) < 10 ? Math.round(v * 10) / 10 : Math.round(v))
            .toLocaleString("en-US");
          const bytes = v => {
            if (v < 1024) return v + (v === 1 ? " byte" : " bytes");
            const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
            let unit = -1;
            while (v >= 1024 && unit < units.length - 1) { v /= 1024; unit += 1; }
            return Math.floor(v * 10) / 10 + " " + units[unit];
          };
          const formats = {
            rate: v => count(v) + "/s", bytes,
            milliseconds: v => v < 10000 ? count(v) + " ms" : count(Math.floor(v / 1000)) + " s",
          };
          let history, isOld = true;
          const recall = async () => {
            if (!isOld) return;
            isOld = false;
            setTimeout(() => { isOld = true; }, 5000);
            try { history = JSON.parse(await ask("history")); } catch { history = undefined; }
          };
          const phase = place => {
            for (const [name, length] of history.phases) {
              if (place < length) return name;
              place -= length;
            }
          };
          const read = async (plot, share, step) => {
            await recall();
            const points = Number(plot.querySelector("svg").dataset.points);
            const from = Number(plot.dataset.at ?? points - 1);
            const at = Math.min(points - 1, Math.max(0, step === undefined
              ? Math.round(share * (points - 1)) : from + step));
            plot.dataset.at = at;
            const cursor = plot.querySelector(".cursor"), output = plot.querySelector(".read");
            if (!history || !history.newestAt) return;
            const place = history.changesPerSecond.length - points + at;
            const time = new Date(Date.parse(history.newestAt)
              - (points - 1 - at) * history.intervalSeconds * 1000);
            const value = place < 0 ? null : history[plot.dataset.key][place];
            const text = value === null ? "not known" : formats[plot.dataset.unit](value);
            const state = place < 0 ? null : phase(place);
            output.textContent = [clock(time), text,
              ...(state && state !== "streaming" ? [state] : [])].join(" · ");
            const x = at / (points - 1) * plot.clientWidth;
            cursor.hidden = output.hidden = false;
            cursor.style.left = x + "px";
            const room = plot.clientWidth - output.offsetWidth;
            output.style.left = Math.min(room, Math.max(0, x + (x > room - 12 ? -12
              - output.offsetWidth : 12))) + "px";
          };
          const forget = plot => {
            for (const node of plot.querySelectorAll(".cursor, .read")) node.hidden = true;
          };
          const plotOf = event => event.target.closest && event.target.closest(".plot");
          document.addEventListener("pointermove", event => {
            const plot = plotOf(event);
            if (!plot) return;
            const box = plot.getBoundingClientRect();
            read(plot, (event.clientX - box.left) / box.width);
          });
          document.addEventListener("pointerout", event => {
            const plot = plotOf(event);
            if (plot && !plot.contains(event.relatedTarget)) forget(plot);
          });
          document.addEventListener("focusout", event => { if (plotOf(event)) forget(plotOf(event)); });
          document.addEventListener("keydown", event => {
            const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12 }[event.key];
            const plot = plotOf(event);
            if (!plot || !step) return;
            event.preventDefault();
            read(plot, 1, step);
          });
        })();
        """#
}
