"""How the page of a night looks, on top of how every page looks: the matrix, what is new, trends."""

from harness.report.style import BADGES, SHEET

NIGHTLY = "".join(
    [
        SHEET,
        *(f"td.{name} b{{color:var(--{name})}}" for name in BADGES),
        """
header,main,footer,nav ul{max-width:96rem}
.matrix{max-height:85vh;overflow:auto;border:1px solid var(--rule);border-radius:.3rem}
.matrix table{border-collapse:separate;border-spacing:0;width:auto;min-width:100%}
.matrix th,.matrix td{padding:.25rem .45rem;border-top:0;border-bottom:1px solid var(--rule);
border-right:1px solid var(--rule)}
.matrix thead th{position:sticky;top:0;z-index:1;background:var(--panel);min-width:4.4rem;max-width:7rem;
vertical-align:bottom;font-size:.78rem;line-height:1.25}
.matrix th:first-child{position:sticky;left:0;background:var(--panel);text-align:left}
.matrix thead th:first-child{z-index:2}
.matrix tbody th{font-size:.85rem;line-height:1.3;min-width:6.5rem;max-width:12rem}
.matrix tbody th small{display:block;color:var(--dim)}
.matrix td{font-size:.78rem;line-height:1.3;white-space:nowrap}
.matrix td a{display:block;color:inherit;text-decoration:none}
.matrix td a:hover b{text-decoration:underline}
.matrix td small{display:block;color:var(--dim);font-size:.72rem}
.matrix td.old b{font-weight:400}
.matrix td.old{background:repeating-linear-gradient(135deg,transparent 0 6px,var(--panel) 6px 8px)}
.matrix td.worse{background:var(--badpaper);box-shadow:inset .25rem 0 var(--KERNEL)}
.matrix td.better{background:var(--notepaper);box-shadow:inset .25rem 0 var(--PASS)}
.news{list-style:none;padding:0}
.news>li{border-left:.3rem solid var(--rule);background:var(--panel);padding:.5rem .8rem;margin:.5rem 0;
border-radius:0 .3rem .3rem 0}
.news>li.bad{border-color:var(--KERNEL);background:var(--badpaper)}
.news>li.good{border-color:var(--PASS)}
.news p{margin:.15rem 0}
.news code{display:block}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:.6rem 1rem}
.chart{margin:0;min-width:0}
.chart figcaption{font-size:.82rem;line-height:1.35;overflow-wrap:anywhere}
.chart svg{display:block;width:100%;height:4rem;background:var(--panel);border-bottom:1px solid var(--rule)}
.chart .band{fill:var(--link);opacity:.25}
.chart .middle{fill:none;stroke:var(--link);stroke-width:1.5;vector-effect:non-scaling-stroke}
.chart .slow{stroke:var(--KERNEL);stroke-width:2;stroke-dasharray:4 2;vector-effect:non-scaling-stroke}
.charts{margin-bottom:1rem}
.wide tbody th{min-width:5.5rem}
.now td{min-width:6rem}
.now td:nth-child(3){min-width:10rem}
.now td:last-child{font:.78rem/1.4 ui-monospace,monospace;overflow-wrap:anywhere;min-width:14rem}
.sums{list-style:none;display:flex;flex-wrap:wrap;gap:.3rem 1rem;padding:0}
""",
    ]
)
