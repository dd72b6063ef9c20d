"""The look of the error gallery: string.Template texts, filled in by error_gallery.py.

The content-security policy forbids every request, so that no image and no trace of a look at it can leave.
"""

CARD = """\
<li class="card" data-label="$label" data-predicted="$predicted" data-confidence="$confidence">
<img src="$source" alt="labelled $label, predicted $predicted" loading="lazy">
<h2><span class="true">$label</span> <span class="arrow">→</span> <strong>$predicted</strong></h2>
<ul class="bars">$bars</ul>
<p class="key" title="$key">$key</p>
</li>"""

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex, nofollow">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$title</title>
<style>
:root {
  --page: #f6f7f9; --card: #ffffff; --ink: #1f2430; --faint: #5f6775; --line: #dfe3e8;
  --predicted: #d55e00; --label: #0072b2; --other: #9aa3af; --notice: #fff4e5; --notice-ink: #6b3c00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171c; --card: #1d2128; --ink: #e8eaee; --faint: #a0a8b5; --line: #31373f;
    --predicted: #f08c3c; --label: #56b4e9; --other: #707885; --notice: #33270f; --notice-ink: #f3d19c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1240px; padding: 32px 24px 64px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { margin: 0 0 4px; font-size: 26px; letter-spacing: -0.01em; }
p { margin: 0 0 12px; max-width: 76ch; }
.faint { color: var(--faint); }
.notice {
  margin: 16px 0; padding: 10px 14px; border-radius: 8px; max-width: none;
  background: var(--notice); color: var(--notice-ink);
}
.tools { display: flex; flex-wrap: wrap; gap: 8px 20px; align-items: center; margin: 20px 0 16px; color: var(--faint); }
.tools[hidden] { display: none; }
select {
  margin-left: 6px; padding: 5px 8px; border: 1px solid var(--line); border-radius: 6px;
  background: var(--card); color: var(--ink); font: inherit;
}
.cards {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(206px, 1fr)); gap: 16px;
  margin: 0; padding: 0; list-style: none;
}
.card { padding: 14px; border: 1px solid var(--line); border-radius: 12px; background: var(--card); min-width: 0; }
.card[hidden] { display: none; }
.card img {
  display: block; width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 8px; background: var(--page);
}
h2 { margin: 12px 0 8px; font-size: 15px; font-weight: 500; line-height: 1.3; overflow-wrap: anywhere; }
h2 strong { color: var(--predicted); font-weight: 650; }
h2 .true { color: var(--label); font-weight: 650; }
.arrow { color: var(--faint); }
.bars { margin: 0; padding: 0; list-style: none; font-size: 12.5px; }
.bars li { display: grid; grid-template-columns: 76px 1fr 46px; gap: 6px; align-items: center; color: var(--faint); }
.name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.track { height: 7px; border-radius: 4px; overflow: hidden; background: var(--line); }
.fill { display: block; height: 100%; background: var(--other); }
.percent { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bars .predicted, .bars .label { color: var(--ink); }
.predicted .fill { background: var(--predicted); }
.label .fill { background: var(--label); }
.key {
  margin: 10px 0 0; color: var(--faint); font: 11.5px/1.4 ui-monospace, Menlo, Consolas, monospace;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
}
.legend { display: inline-flex; gap: 6px; align-items: center; }
.swatch { width: 12px; height: 12px; border-radius: 3px; }
</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="faint">$summary</p>
<p class="notice"><strong>For this machine only.</strong> This page contains images from the data set.
Do not publish or share it: few licences allow that, and the people shown were not asked.</p>
<p class="faint">The model predicts the label annotators gave to the expression shown; it knows nothing of what a person
felt. Where it is sure and wrong, look whether the label is right.</p>
</header>
<div class="tools" id="tools" hidden>
<label>Order<select id="order">
<option value="confidence">most confident first</option>
<option value="label">by label</option>
<option value="predicted">by prediction</option>
</select></label>
<label>Label<select id="label"><option value="">any</option></select></label>
<label>Prediction<select id="predicted"><option value="">any</option></select></label>
<span id="shown" role="status"></span>
<span class="legend"><span class="swatch" style="background:var(--label)"></span>label</span>
<span class="legend"><span class="swatch" style="background:var(--predicted)"></span>prediction</span>
</div>
<ul class="cards" id="cards">
$cards
</ul>
<script>
const list = document.getElementById("cards");
const cards = [...list.children];
const control = name => document.getElementById(name);
for (const name of ["label", "predicted"]) {
  for (const value of [...new Set(cards.map(card => card.dataset[name]))].sort()) control(name).add(new Option(value));
}
function update() {
  const order = control("order").value;
  const compare = (a, b) =>
    (order === "confidence" ? 0 : a.dataset[order].localeCompare(b.dataset[order])) ||
    b.dataset.confidence - a.dataset.confidence;
  let shown = 0;
  for (const card of cards) {
    card.hidden = ["label", "predicted"].some(name => ![card.dataset[name], ""].includes(control(name).value));
    shown += !card.hidden;
  }
  list.append(...cards.sort(compare));
  control("shown").textContent = shown + " of " + cards.length + " shown";
}
for (const name of ["order", "label", "predicted"]) control(name).addEventListener("change", update);
control("tools").hidden = cards.length === 0;
update();
</script>
</body>
</html>
"""
