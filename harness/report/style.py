"""How a page looks: its colours as data, in light and in dark, and its one style sheet."""

import base64
import hashlib

PALETTE = {  # name: (light, dark)
    "paper": ("#ffffff", "#101418"),
    "panel": ("#f4f6f8", "#181d23"),
    "ink": ("#1b1f24", "#e4e8ed"),
    "dim": ("#57606a", "#9aa5b1"),
    "rule": ("#d3d9df", "#323a44"),
    "link": ("#0b57d0", "#8ab4ff"),
    "focus": ("#0b57d0", "#8ab4ff"),
    "badge": ("#ffffff", "#101418"),  # words on a verdict
    "PASS": ("#1a7f37", "#56d364"),
    "KERNEL": ("#c0202a", "#ff8a84"),
    "DEPLOY": ("#9a4d00", "#f2a65a"),
    "LAB": ("#6b3fc4", "#c4a7ff"),
    "BUILD": ("#086472", "#5ccfe0"),
    "INCONCLUSIVE": ("#59636e", "#adb7c2"),
    "badpaper": ("#fff1f0", "#2b1618"),
    "notepaper": ("#eef4ff", "#152033"),
    "power": ("#6e7781", "#8b949e"),
    "firmware": ("#7d4fc9", "#b794f4"),
    "kernel": ("#0b62c4", "#6cb0ff"),
    "rootfs": ("#00707a", "#4fc9d3"),
    "init": ("#8f5500", "#e0a84e"),
    "login": ("#1a7f37", "#56d364"),
    "r": ("#b3121d", "#ff8a84"),  # what a console calls red ... cyan
    "g": ("#176b2e", "#56d364"),
    "y": ("#7a5200", "#e3b341"),
    "b": ("#0b57d0", "#8ab4ff"),
    "m": ("#8a2be2", "#d2a8ff"),
    "c": ("#086472", "#5ccfe0"),
}
PAPERS = ("paper", "panel", "badpaper", "notepaper")
"""What words stand on."""
WORDS = ("ink", "dim", "link", "r", "g", "y", "b", "m", "c", "KERNEL")
"""What stands on them."""
BADGES = ("PASS", "KERNEL", "DEPLOY", "LAB", "BUILD", "INCONCLUSIVE")
BARS = ("power", "firmware", "kernel", "rootfs", "init", "login")


def _variables(column: int) -> str:
    return "".join(f"--{name}:{pair[column]};" for name, pair in PALETTE.items())


SHEET = "".join(
    [
        f":root{{color-scheme:light dark;{_variables(0)}}}",
        f"@media(prefers-color-scheme:dark){{:root{{{_variables(1)}}}}}",
        *(f".{name}{{--tone:var(--{name})}}" for name in BADGES),
        *(f".swatch.{name}{{background:var(--{name})}}rect.{name}{{fill:var(--{name})}}" for name in BARS),
        *(f".log b.{name}{{color:var(--{name})}}" for name in "rgybmc"),
        """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:4rem}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
header,main,footer{max-width:76rem;margin:0 auto;padding:0 1rem}
h1{font-size:1.35rem;line-height:1.35;margin:1.2rem 0 .6rem}
h2{font-size:1.15rem;margin:2.2rem 0 .6rem;padding-bottom:.25rem;border-bottom:1px solid var(--rule)}
h3{font-size:1rem;margin:1.2rem 0 .4rem}
h1,h2,h3,p,li,dd,td,th,summary{overflow-wrap:anywhere}
p{margin:.5rem 0}
ul{padding-left:1.2rem;margin:.5rem 0}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--focus);outline-offset:2px}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:.5rem;z-index:2;background:var(--paper);padding:.3rem .6rem}
nav{position:sticky;top:0;z-index:1;background:var(--paper);border-bottom:1px solid var(--rule)}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1rem;max-width:76rem;margin:0 auto;padding:.45rem 1rem}
.badge{display:inline-block;background:var(--tone);color:var(--badge);border-radius:.3rem;padding:.05rem .55rem;
margin-right:.6rem;letter-spacing:.02em}
.verdict{border-left:.35rem solid var(--tone);background:var(--panel);padding:.6rem 1rem;border-radius:0 .3rem .3rem 0}
.verdict p:first-child{margin-top:0}
.alarm{border:2px solid var(--KERNEL);border-radius:.3rem;padding:.6rem 1rem;font-weight:600}
.dim,dt,.ended,.tick,.label{color:var(--dim)}
.evidence{list-style:none;padding:0;margin:.4rem 0;font:.875rem/1.5 ui-monospace,monospace}
dl{display:grid;grid-template-columns:minmax(6.5rem,max-content) minmax(0,1fr);gap:.15rem 1rem;margin:.8rem 0}
dd{margin:0}
code,pre,.log{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.8125rem;line-height:1.45}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--panel);padding:.6rem .8rem;border-radius:.3rem;
margin:.5rem 0}
code{overflow-wrap:anywhere}
.wide{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.3rem .7rem .3rem 0;border-top:1px solid var(--rule)}
thead th{border-top:0;overflow-wrap:normal;color:var(--dim);font-weight:500;font-size:.875rem}
tbody th{font-weight:400}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th.n{text-align:right}
.wide .n:last-child{padding-right:0}
td.under{padding-right:0}
td.ended,td.under{border-top:0;padding-top:0;font-size:.875rem}
.outcome{white-space:nowrap;font-weight:600}
.outcome.good{color:var(--g)}.outcome.bad{color:var(--KERNEL)}.outcome.lab{color:var(--m)}.outcome.none{color:var(--dim)}
summary{cursor:pointer;padding:.3rem 0}
.timeline{display:block;overflow:visible;margin:.6rem 0 0}
.timeline text{font:12px system-ui,sans-serif;fill:var(--dim)}
.timeline .label{font-size:13px;fill:var(--ink)}
.timeline .inside{fill:var(--badge)}
.timeline .cross{font-weight:700;fill:var(--badge)}
.timeline .end{overflow:visible}
rect.stop{fill:var(--KERNEL)}.swatch.stop{background:var(--KERNEL);color:var(--badge);width:1rem;height:1rem;
font:700 .7rem/1rem system-ui,sans-serif;text-align:center}
.timeline .grid{stroke:var(--rule)}
.pale rect{opacity:.4}.pale .inside{fill:var(--ink)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem;padding:0;font-size:.875rem;color:var(--dim)}
.swatch{display:inline-block;width:.8rem;height:.8rem;border-radius:.15rem}
.log{background:var(--panel);white-space:pre-wrap;overflow-wrap:anywhere;padding:0}
.log>div{padding:0 .4rem 0 3.5rem;min-height:1.45em;position:relative;scroll-margin-top:5rem}
.log>div>a{position:absolute;left:0;width:3rem;text-align:right;color:var(--dim);text-decoration:none;user-select:none}
.log>div>a:hover{text-decoration:underline}
.log em{display:none}
.log b{font-weight:400}.log b.s,.log b[class$=" s"]{font-weight:700}
.log i{font-style:normal;color:var(--dim);border-bottom:1px dotted}
.log.bad{background:var(--badpaper)}.log.note{background:var(--notepaper)}
.log>div:target{outline:2px solid var(--focus);outline-offset:-1px}
.mark{margin:0;padding:.4rem .8rem;font-size:.875rem;scroll-margin-top:4rem}
.mark.bad{background:var(--badpaper);border-left:.3rem solid var(--KERNEL)}
.mark.note{background:var(--notepaper);border-left:.3rem solid var(--link)}
.console details>summary{background:var(--panel);color:var(--dim);padding:.25rem .8rem;font-size:.875rem}
.sides{display:grid;grid-template-columns:minmax(0,1fr);gap:0 1rem}
.sides .log>div{padding-left:3.5rem}
footer{margin-top:3rem;padding-bottom:3rem;font-size:.875rem;color:var(--dim)}
@media(min-width:50rem){.log>div{padding-left:8rem}.log em{display:block;position:absolute;left:3.6rem;width:3.8rem;
text-align:right;font-style:normal;color:var(--dim);user-select:none}}
@media(min-width:60rem){.sides{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}}
@media print{nav{position:static}.log{white-space:pre-wrap}}
""",
    ]
)


def digest(sheet: str) -> str:
    """Return what a page's policy knows its style sheet by: no other style gets in, inline or from elsewhere."""
    return base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
