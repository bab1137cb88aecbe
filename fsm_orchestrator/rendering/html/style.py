"""How the page looks: light and dark, on a telephone, a wide screen and paper. Data only.

Every text has a contrast of at least 4.5 to 1 against what is behind it, in both schemes.
"""

from __future__ import annotations

from typing import Final

_LIGHT: Final = """
--page:#f5f6f8;--card:#ffffff;--ink:#1b2128;--grey:#55606d;--line:#d9dfe6;--sunk:#eef1f4;
--link:#1d4f9e;--odd:#9a1f5d;
--good:#1b6630;--good-soft:#e4f3e7;--bad:#a1211d;--bad-soft:#fcebea;
--warn:#7a4d00;--warn-soft:#fff2d6;--late:#653aa0;--late-soft:#f1eafa;
--info:#1d4f9e;--info-soft:#e6effc;--plain:#55606d;--plain-soft:#eceff3;
--gate:#fff4d6;--stage:#e8f0fe;--done:#e3f5e5;--ended:#fdeaea;--paper:#ffffff"""
_DARK: Final = """
--page:#12161b;--card:#1a2027;--ink:#e7ebf0;--grey:#a5b0bc;--line:#333c47;--sunk:#141a20;
--link:#9cc3ff;--odd:#ff9ecb;
--good:#86d79a;--good-soft:#1a3222;--bad:#ffa29b;--bad-soft:#3b2022;
--warn:#eec673;--warn-soft:#382d15;--late:#d0b7f7;--late-soft:#2e2542;
--info:#9cc3ff;--info-soft:#1c2c45;--plain:#a5b0bc;--plain-soft:#262e37;
--gate:#3a3118;--stage:#1f2e48;--done:#1c3524;--ended:#402426;--paper:#1a2027"""

_BASE: Final = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0 auto;padding:clamp(.75rem,3vw,2.5rem);max-width:80rem;background:var(--page);
color:var(--ink);font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;
overflow-wrap:anywhere}
h1,h2,h3,h4,p,ul,ol,dl,dd,pre,figure{margin:0}
h1{font-size:clamp(1.9rem,5vw,2.75rem);line-height:1.1;letter-spacing:-.015em}
h2{font-size:1.35rem;line-height:1.25;letter-spacing:-.005em}
h3{font-size:1.1rem;line-height:1.3}
h4{font-size:1rem;font-weight:600;display:inline}
main{display:grid;gap:2.75rem}
main>*,.two>*{min-width:0}
section{display:grid;gap:1rem;grid-template-columns:minmax(0,1fr);scroll-margin-top:1rem}
code,pre{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;
font-size:.86em}
code{unicode-bidi:isolate}
pre code{font-size:1em}
pre{white-space:pre-wrap;background:var(--sunk);border:1px solid var(--line);border-radius:.5rem;
padding:.65rem .8rem;max-height:24rem;overflow:auto;tab-size:4}
.odd{color:var(--odd);font-weight:600;font-style:normal}
.note{color:var(--grey);font-size:.925rem}
a{color:var(--link);text-underline-offset:.2em}
:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:.25rem}
time{font-variant-numeric:tabular-nums}
ul{padding-left:1.2rem}
"""

_OUTCOME: Final = """
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;
padding:clamp(.9rem,2.5vw,1.4rem)}
.good{--tone:var(--good);--soft:var(--good-soft)}
.bad{--tone:var(--bad);--soft:var(--bad-soft)}
.warn{--tone:var(--warn);--soft:var(--warn-soft)}
.late{--tone:var(--late);--soft:var(--late-soft)}
.info{--tone:var(--info);--soft:var(--info-soft)}
.plain{--tone:var(--plain);--soft:var(--plain-soft)}
.icon{width:1.15em;height:1.15em;flex:none;fill:none;stroke:currentColor;stroke-width:2;
stroke-linecap:round;stroke-linejoin:round}
.badge{display:inline-flex;align-items:center;gap:.4em;padding:.12em .65em .12em .5em;
border-radius:1em;background:var(--soft);color:var(--tone);font-size:.875rem;font-weight:600;
line-height:1.5;vertical-align:middle;overflow-wrap:normal}
.standing{display:flex;gap:clamp(1rem,3vw,2rem);background:var(--card);
border:1px solid var(--line);border-top:.4rem solid var(--tone);border-radius:.75rem;
padding:clamp(1rem,3.5vw,2.25rem)}
.standing-icon{flex:none;width:clamp(3rem,9vw,5.5rem);height:clamp(3rem,9vw,5.5rem);display:grid;
place-items:center;border-radius:1rem;background:var(--soft);color:var(--tone)}
.standing-icon .icon{width:62%;height:62%;stroke-width:1.8}
.standing-words{flex:1;min-width:0;display:grid;gap:.9rem;grid-template-columns:minmax(0,1fr)}
.standing h1{color:var(--tone)}
.lead{font-size:1.15rem;line-height:1.5}
.summary{display:grid;gap:.75rem 1.75rem;
grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr))}
.standing .summary{border-top:1px solid var(--line);padding-top:1rem;margin-top:.25rem}
.summary dt,.facts dt{color:var(--grey);font-size:.85rem}
nav{display:flex;flex-wrap:wrap;gap:.35rem 1.35rem;padding:1.1rem .25rem 1.6rem;font-size:.95rem}
.two{display:grid;gap:2rem;align-items:start;grid-template-columns:minmax(0,1fr)}
.next-step{border-left:.4rem solid var(--tone)}
.remedies{font-size:1.05rem;list-style:none;padding:0;display:grid;gap:.4rem}
.would{margin-top:-.7rem}
.command{user-select:all;-webkit-user-select:all;cursor:copy;max-height:none;font-size:.95rem;
color:var(--ink);border-color:var(--tone)}
.word{white-space:nowrap}
.facts{display:grid;gap:.5rem}
.facts>div{display:grid;gap:0 1rem;grid-template-columns:minmax(0,1fr)}
.cause+.cause{border-top:1px solid var(--line);padding-top:1rem}
.cause>.facts{margin-top:.85rem}
"""

_SECTIONS: Final = """
.scroll{overflow-x:auto;max-width:100%;border-radius:.5rem}
.data{border-collapse:collapse;width:100%;background:var(--card);font-size:.925rem;
overflow-wrap:normal}
.data caption{caption-side:top;text-align:left;color:var(--grey);padding:0 0 .5rem;
font-size:.9rem}
.data th,.data td{text-align:left;vertical-align:top;padding:.5rem .8rem;
border-bottom:1px solid var(--line);min-width:4.5rem}
.data thead th{color:var(--grey);font-weight:600;font-size:.85rem;background:var(--sunk)}
.data tbody th{font-weight:600;overflow-wrap:anywhere;min-width:6.5rem}
.data td:last-child{overflow-wrap:anywhere;min-width:14rem}
.data time,.data .badge{white-space:nowrap}
.data ul{padding-left:1rem}
.artifacts th,.artifacts td{overflow-wrap:anywhere}
.walk-of{display:grid;gap:.5rem}
.walk{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.7rem .45rem;align-items:center}
.walk li{display:inline-flex;align-items:center;gap:.45rem;max-width:100%;flex-wrap:wrap}
.trigger{color:var(--grey);font-size:.85rem}
.trigger::before{content:"\\2014 " / ""}
.trigger::after{content:" \\2192" / ""}
.state{background:var(--card);border:1.5px solid var(--grey);padding:.2rem .75rem;
font-weight:600;font-size:.925rem;border-radius:.3rem}
.state.initial{border-radius:1rem}
.state.gate{background:var(--gate);border-radius:.3rem;border-style:dashed}
.state.stage{background:var(--stage)}
.state.terminal{border:3px double var(--tone);background:var(--soft);color:var(--tone);
border-radius:1rem}
.picture,.timeline,.quote{display:grid;gap:.6rem;grid-template-columns:minmax(0,1fr)}
.picture .scroll{background:var(--paper);border:1px solid var(--line);border-radius:.75rem;
padding:.75rem}
figcaption{color:var(--grey);font-size:.9rem}
.drawing{display:block;margin:0 auto;width:100%;min-width:46rem;height:auto;
font-family:Helvetica,Arial,"Liberation Sans",sans-serif}
.fill-ink{fill:var(--ink)}.fill-paper{fill:var(--paper)}.fill-grey{fill:var(--grey)}
.fill-gate{fill:var(--gate)}.fill-stage{fill:var(--stage)}.fill-done{fill:var(--done)}
.fill-ended{fill:var(--ended)}.fill-none{fill:none}
.line-ink{stroke:var(--ink)}.line-grey{stroke:var(--grey)}.line-paper{stroke:var(--paper)}
.line-none{stroke:none}
.lanes{display:grid;gap:.45rem;background:var(--card);border:1px solid var(--line);
border-radius:.75rem;padding:clamp(.75rem,2vw,1.25rem)}
.lane{display:grid;gap:.1rem .9rem;align-items:center;font-size:.925rem;
grid-template-columns:minmax(0,1fr) auto}
.lane-title{color:var(--grey);font-size:.85rem;padding-top:.35rem}
.lane-title:first-child{padding-top:0}
.lane-name{font-weight:600}
.lane-end{color:var(--grey);text-align:right}
.track{position:relative;height:1rem;border-radius:.3rem;background:var(--sunk);
grid-row:2;grid-column:1/-1}
.bar{position:absolute;top:0;bottom:0;border-radius:.3rem;background:var(--tone);min-width:4px}
.bar.bad,.bar.late{background-image:repeating-linear-gradient(135deg,transparent 0 5px,
var(--soft) 5px 7px)}
.bar.skipped{background:none;border:2px dashed var(--tone);min-width:12px}
.bar.open{background:linear-gradient(90deg,var(--tone),transparent);
border:1px dashed var(--tone)}
.stage-card{gap:.8rem}
.stage-card h3{display:flex;flex-wrap:wrap;gap:.4rem .75rem;align-items:center}
.because{color:var(--grey)}
details{border-top:1px solid var(--line);padding-top:.8rem}
summary{cursor:pointer}
summary .badge{margin-left:.6rem}
details>*+*{margin-top:.75rem}
.output{white-space:pre-wrap;line-height:1.45}
.warnings{display:grid;gap:.4rem}
#history h3{margin-top:.5rem}
@media (min-width:48rem){
.facts>div{grid-template-columns:8.5rem minmax(0,1fr);align-items:baseline}
.lane{grid-template-columns:11rem minmax(0,1fr) 14rem}
.lane-name{grid-column:1;grid-row:1}.track{grid-column:2;grid-row:1}
.lane-end{grid-column:3;grid-row:1;text-align:left}
}
@media (min-width:64rem){
.two{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}
}
@media (max-width:30rem){
.standing{flex-direction:column}
.summary>div{display:grid;gap:.75rem;grid-template-columns:5.5rem minmax(0,1fr);
align-items:baseline}
.data th,.data td{padding:.45rem .55rem}
}
"""

_PAPER: Final = """
@media print{
@page{margin:14mm}
html{font-size:10pt}
body{max-width:none;padding:0;background:#fff}
nav{display:none}
main{gap:1.5rem;display:block}
main>*{margin-bottom:1.4rem}
details::details-content{content-visibility:visible;display:block}
pre,.scroll{max-height:none;overflow:visible}
.two{display:block}
.two>section{margin-bottom:1.2rem}
.standing,.lane,tr,.facts>div,.walk li,.badge{break-inside:avoid}
h2,h3,h4,summary,caption,figcaption{break-after:avoid}
.picture{break-inside:avoid}
.drawing{min-width:0;max-height:22cm}
.data{font-size:.85rem}
.facts>div{grid-template-columns:7.5rem minmax(0,1fr);align-items:baseline}
.data td,.data th{min-width:0;padding:.3rem .4rem}
.data td:last-child{min-width:0}
.data time{white-space:normal}
.badge,.standing-icon,.bar,.track,.state,.fill-gate,.fill-stage,.fill-done,.fill-ended{
-webkit-print-color-adjust:exact;print-color-adjust:exact}
}
"""

CSS: Final = "\n".join(
    (
        f":root{{color-scheme:light dark;{_LIGHT}}}",
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}}}",
        _BASE.strip(),
        _OUTCOME.strip(),
        _SECTIONS.strip(),
        _PAPER.strip(),
        "",
    )
)
