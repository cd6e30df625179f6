// SPDX-License-Identifier: Apache-2.0
//
// The style of the status page, kept inside the executable: the page loads nothing from elsewhere.
// Two palettes, each with a contrast of 4.5 and more; one column on a phone, nothing wider than it.

enum PageStyle {
    static let text = """
        :root{color-scheme:light dark;--bg:#f4f5f7;--card:#fff;--ink:#15191e;--quiet:#56606b;
        --line:#dce0e5;--grid:#e8ebee;--a:#0a58ca;--good:#14702f;--warn:#835000;
        --bad:#b3231b;--out:#f3e3c3}
        @media (prefers-color-scheme:dark){:root{--bg:#0f1215;--card:#171b20;--ink:#e7eaed;
        --quiet:#9ba5b0;--line:#2a3037;--grid:#242a31;--a:#69adff;--good:#56c271;
        --warn:#e2b13c;--bad:#ff8b80;--out:#3a3019}}
        *{box-sizing:border-box}
        body{margin:0 auto;max-width:76rem;padding:1.25rem;background:var(--bg);color:var(--ink);
        font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
        h1,h2,p,dl,dd,ol,figure{margin:0;padding:0}
        h1{font-size:1.5rem;line-height:1.2;overflow-wrap:anywhere}
        h2{font-size:.857rem;font-weight:600;display:inline}
        code{font:.857rem ui-monospace,"Cascadia Mono","Liberation Mono",monospace;
        color:var(--quiet);overflow-wrap:anywhere}
        .quiet{color:var(--quiet)}a{color:var(--a)}b{font-weight:600}
        .card,header{background:var(--card);border:1px solid var(--line);border-radius:6px;
        padding:.85rem 1rem;margin:0 0 .85rem;min-width:0}
        header{--c:var(--a);display:flex;flex-wrap:wrap;align-items:baseline;gap:.3rem .9rem;
        border-left:5px solid var(--c)}
        header.streaming{--c:var(--good)}header.failed{--c:var(--bad)}
        header.reconnecting,header.stopping,header.standby{--c:var(--warn)}
        header .quiet{margin-left:auto}
        .phase{color:var(--c);font-weight:600;font-size:1.07rem}
        .phase::before{content:"";display:inline-block;width:.6em;height:.6em;margin-right:.4em;
        border-radius:50%;background:var(--c)}
        .sentence{flex:1 1 22rem}
        body.off header{--c:var(--quiet)}body.off .phase{text-decoration:line-through}
        body.off main{opacity:.65}
        .notice{background:var(--card);border:1px solid var(--line);border-left:5px solid var(--c);
        border-radius:6px;padding:.7rem 1rem;margin:0 0 .85rem;overflow-wrap:anywhere}
        .notice.bad{--c:var(--bad)}.notice.warn{--c:var(--warn)}
        .bad{color:var(--bad)}.warn{color:var(--warn)}.good{color:var(--good)}
        div.notice,p.notice.warn{color:inherit}
        .hint{color:var(--ink);overflow-wrap:anywhere}
        .graphs{display:grid;gap:.85rem;margin-bottom:.85rem;
        grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr))}
        .graphs .card{margin:0}
        figcaption p b{font-size:1.5rem;line-height:1.3;font-variant-numeric:tabular-nums;
        margin-right:.5rem}
        .range{font-size:.857rem;min-height:1.45em}
        .frame{display:grid;grid-template-columns:4.3rem minmax(0,1fr);margin-top:.35rem}
        .y,.x{font-size:.786rem;display:flex;justify-content:space-between;line-height:1;
        font-variant-numeric:tabular-nums}
        .y{flex-direction:column;text-align:right;padding-right:.5rem;margin:-.4em 0}
        .x{grid-column:2;padding-top:.4rem}
        .plot{position:relative;height:118px}
        .plot svg{display:block;width:100%;height:100%;overflow:visible}
        .grid,.axis,.line{fill:none;vector-effect:non-scaling-stroke}
        .grid{stroke:var(--grid)}.axis{stroke:var(--line)}
        .line{stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}
        .line{stroke:var(--a)}
        .shade{stroke:none;fill-opacity:.12}.shade{fill:var(--a)}
        .out{fill:var(--out)}
        .cursor{position:absolute;top:0;bottom:0;width:1px;background:var(--quiet)}
        .read{position:absolute;top:.25rem;padding:.1rem .45rem;background:var(--card);
        border:1px solid var(--line);border-radius:4px;font-size:.857rem;pointer-events:none;
        font-variant-numeric:tabular-nums;max-width:100%}
        .cards{display:grid;gap:.85rem;margin-bottom:.85rem;
        grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr))}
        .cards .card{margin:0}
        dl{display:grid;grid-template-columns:fit-content(45%) minmax(0,1fr);gap:.15rem .9rem;
        margin-top:.4rem}
        dt{color:var(--quiet);overflow-wrap:anywhere}
        dd{overflow-wrap:anywhere;font-variant-numeric:tabular-nums;unicode-bidi:isolate}
        summary{cursor:pointer}summary>span{margin-left:.6rem;color:var(--quiet)}
        .scroll{overflow-x:auto;margin-top:.5rem}
        table{width:100%;border-collapse:collapse}
        th,td{text-align:left;padding:.28rem .9rem .28rem 0;border-top:1px solid var(--grid);
        vertical-align:top;font-weight:400}
        thead th{color:var(--quiet);font-size:.857rem;border-top:0}
        tbody th{min-width:9rem;overflow-wrap:anywhere;unicode-bidi:isolate}
        .done td,.done th,.waiting td,.waiting th{color:var(--quiet)}
        .n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
        .n:last-child{padding-right:0}
        .bar{white-space:nowrap;font-variant-numeric:tabular-nums}
        progress{appearance:none;vertical-align:middle;width:7rem;height:.5rem;margin-right:.5rem;border:0;
        border-radius:3px;background:var(--grid);overflow:hidden}
        progress::-webkit-progress-bar{background:var(--grid)}
        progress::-webkit-progress-value{background:var(--a)}
        progress::-moz-progress-bar{background:var(--a)}
        ol{list-style:none}li{margin-top:.5rem;overflow-wrap:anywhere}
        footer{display:flex;flex-wrap:wrap;gap:.2rem .9rem;font-size:.857rem}
        footer :first-child{margin-right:auto}
        @media (max-width:30rem){body{padding:.6rem}.frame{grid-template-columns:3.9rem minmax(0,1fr)}
        header .quiet{margin-left:0;flex-basis:100%}.plot{height:96px}
        .wide{display:none}th,td{padding-right:.6rem}tbody th{min-width:7rem}progress{width:4rem}}
        [hidden]{display:none!important}
        """
}
