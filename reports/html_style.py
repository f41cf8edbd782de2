"""The look of the HTML report: one style sheet for light and dark, one short script; nothing is loaded."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --panel: #ffffff; --ink: #1d2126; --soft: #5d6670; --line: #e2e4e6; --code: #f4f5f6;
  --left: #b42318; --left-bg: #fdecea; --right: #1d5fbf; --right-bg: #e8f0fd; --mark: #b54708; --mark-bg: #fef4e6;
  --agree: #2f855a; --diverge: #c53030; --unsupported: #8a8f98; --late: #b7791f; --unsteady: #d69e2e; --flaky: #805ad5;
  --lost: #4a5568;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --panel: #1b1f23; --ink: #e4e7ea; --soft: #98a2ad; --line: #2e343a; --code: #15191c;
    --left: #ff9a8f; --left-bg: #3a1f1d; --right: #8fbcff; --right-bg: #1c2b42; --mark: #f5b96b; --mark-bg: #33291a;
    --agree: #48a777; --diverge: #e06060; --unsupported: #79818a; --late: #d09a3e; --unsteady: #e3bc5b;
    --flaky: #a48be0; --lost: #718096;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 84rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { font-size: 1.5rem; margin: 0 0 .2rem; letter-spacing: -.01em; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .7rem; }
a { color: var(--right); }
code, pre, .mono, table.traces td {
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12.5px;
}
.sub { color: var(--soft); margin: 0 0 1.4rem; }
.bar {
  display: flex; height: 10px; margin: 1.2rem 0 .8rem; border-radius: 5px; overflow: hidden; background: var(--line);
}
.bar i { display: block; min-width: 2px; }
.totals { display: flex; flex-wrap: wrap; gap: .3rem 1.8rem; margin: 0; padding: 0; list-style: none; }
.totals li { display: flex; align-items: baseline; gap: .45rem; }
.totals b { font-variant-numeric: tabular-nums; font-size: 1.1rem; }
.totals span { color: var(--soft); }
.dot { width: .65rem; height: .65rem; border-radius: 50%; align-self: center; }
.tools { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: .6rem; }
input[type=search] {
  font: inherit; padding: .35rem .6rem; min-width: 16rem; border: 1px solid var(--line); border-radius: 6px;
  background: var(--panel); color: var(--ink);
}
details.found { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; margin: 0 0 .6rem; }
details.found > summary {
  display: grid; grid-template-columns: 4.5rem 1fr auto; gap: .2rem 1rem; align-items: baseline; cursor: pointer;
  padding: .7rem 1rem; list-style: none;
}
details.found > summary::-webkit-details-marker { display: none; }
details.found > summary:hover { background: var(--code); border-radius: 8px; }
details.found[open] > summary { border-bottom: 1px solid var(--line); border-radius: 8px 8px 0 0; }
.count { font-variant-numeric: tabular-nums; text-align: right; font-weight: 600; }
.count small { font-weight: 400; color: var(--soft); }
.what { min-width: 0; }
.what strong { font-weight: 600; margin-right: .6rem; }
.kind { color: var(--soft); }
.versus { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; margin-top: .15rem; }
.versus .l { color: var(--left); } .versus .r { color: var(--right); }
.versus .sep { color: var(--soft); margin: 0 .5rem; }
.tag {
  font-size: .78rem; padding: .1rem .5rem; border-radius: 1rem; border: 1px solid currentColor; white-space: nowrap;
}
.tag.unlisted { color: var(--diverge); } .tag.listed, .tag.explained { color: var(--soft); } .tag.flaky { color: var(--flaky); }
.body { padding: 1rem; }
.reason { margin: 0 0 1rem; padding: .5rem .8rem; border-left: 3px solid var(--line); color: var(--soft); }
.head { display: flex; align-items: baseline; justify-content: space-between; margin: 0 0 .4rem; }
.head h3 { font-size: .85rem; margin: 0; color: var(--soft); font-weight: 600; }
button {
  font: inherit; font-size: .8rem; padding: .15rem .6rem; border: 1px solid var(--line); border-radius: 5px;
  background: var(--panel); color: var(--ink); cursor: pointer;
}
button:hover { border-color: var(--soft); }
pre.program {
  margin: 0 0 1.2rem; padding: .7rem .9rem; background: var(--code); border: 1px solid var(--line); border-radius: 6px;
  overflow-x: auto; line-height: 1.55;
}
table.traces { width: 100%; border-collapse: collapse; table-layout: fixed; border: 1px solid var(--line); }
table.traces th { text-align: left; font-size: .85rem; padding: .3rem .7rem; color: var(--soft); font-weight: 600; }
table.traces td {
  padding: .1rem .7rem; vertical-align: top; overflow-wrap: anywhere; white-space: pre-wrap;
}
table.traces td + td { border-left: 1px solid var(--line); }
tr.step td { background: var(--code); border-top: 1px solid var(--line); padding-top: .3rem; padding-bottom: .3rem; }
tr.step .n {
  display: inline-block; min-width: 2ch; margin-right: 1ch; text-align: right; color: var(--soft); user-select: none;
}
tr.differs td:first-child { background: var(--left-bg); color: var(--left); }
tr.differs td:last-child { background: var(--right-bg); color: var(--right); }
tr.first td { background: var(--mark-bg); box-shadow: inset 3px 0 0 var(--mark); }
tr.first .note { float: right; color: var(--mark); font-family: system-ui, sans-serif; font-size: .8rem; }
tbody.after { opacity: .5; }
tbody.after:hover { opacity: 1; }
.none { padding: 1.2rem; border: 1px dashed var(--line); border-radius: 8px; color: var(--soft); }
dl.meta { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .6rem 0 0; }
dl.meta dt { color: var(--soft); } dl.meta dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  body { padding: 1rem .7rem 3rem; }
  details.found > summary { grid-template-columns: 1fr auto; } .what { grid-row: 2; grid-column: 1 / -1; }
  .count { text-align: left; }
}
@media print { button, input { display: none; } tbody.after { opacity: 1; } }
"""

SCRIPT = """
document.addEventListener('click', function (event) {
  var button = event.target.closest('button.copy');
  if (!button) return;
  var text = button.closest('.body').querySelector('pre.program').textContent;
  function told() { button.textContent = 'Copied'; setTimeout(function () { button.textContent = 'Copy'; }, 1500); }
  function byHand() {
    var area = document.createElement('textarea');
    area.value = text; document.body.appendChild(area); area.select();
    if (document.execCommand('copy')) told();
    area.remove();
  }
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(told, byHand); else byHand();
});
var search = document.querySelector('input[type=search]');
if (search) search.addEventListener('input', function () {
  var words = search.value.toLowerCase().split(' ').filter(Boolean);
  document.querySelectorAll('details.found').forEach(function (found) {
    var text = found.textContent.toLowerCase();
    found.hidden = !words.every(function (word) { return text.includes(word); });
  });
});
if (location.hash) { var at = document.getElementById(location.hash.slice(1)); if (at) at.open = true; }
"""
