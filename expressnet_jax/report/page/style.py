"""The look of the page, and its frame (string.Template): no request leaves it, and it prints."""

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { --ink: #1f2430; --faint: #5a6270; --line: #d5dae1; --page: #f6f7f9; --accent: #005a8c; }
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1120px; padding: 28px 20px 64px; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { margin: 0 0 6px; font-size: 30px; line-height: 1.2; letter-spacing: -0.015em; }
h2 { margin: 0 0 8px; font-size: 22px; }
h3 { margin: 26px 0 6px; font-size: 17px; }
p { margin: 0 0 12px; max-width: 76ch; }
a { color: var(--accent); }
a:focus-visible, .scroll:focus-visible { outline: 3px solid #b34700; outline-offset: 2px; }
.skip { position: absolute; left: -9999px; }
.skip:focus { left: 12px; top: 8px; background: #fff; padding: 6px 10px; }
.faint { color: var(--faint); }
.notice { padding: 10px 14px; border-left: 4px solid #b34700; background: #fff; max-width: none; }
nav ul { display: flex; flex-wrap: wrap; gap: 6px 16px; margin: 14px 0 20px; padding: 0; list-style: none; }
section {
  margin: 0 0 22px; padding: 22px 22px 14px; border: 1px solid var(--line); border-radius: 10px; background: #fff;
}
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 8px 28px; }
.columns > div { min-width: 0; }
figure { margin: 10px 0 16px; }
figcaption, caption { padding: 2px 0 6px; text-align: left; font-weight: 600; font-size: 15px; }
caption { min-width: 280px; }
svg { display: block; width: 100%; max-width: 560px; height: auto; font-size: 13px; font-family: inherit; }
svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
img { max-width: 100%; height: auto; image-rendering: pixelated; }
.scroll { overflow-x: auto; margin: 8px 0 16px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
thead th { color: var(--faint); font-weight: 600; vertical-align: bottom; white-space: normal; }
th:first-child { text-align: left; font-weight: 500; }
td.words { text-align: left; }
.heat th, .heat td { padding: 6px 5px; border: 2px solid #fff; text-align: center; min-width: 38px; }
.heat th:first-child { text-align: left; padding-left: 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 16px 0; }
.card { padding: 12px 14px; border: 1px solid var(--line); border-radius: 8px; background: #fff; }
.card dt { color: var(--faint); font-size: 14px; }
.card dd { margin: 0; }
.card strong { display: block; font-size: 25px; line-height: 1.25; }
.card span { color: var(--faint); font-size: 13px; }
@media (max-width: 480px) {
  body { padding: 18px 10px 40px; }
  section { padding: 16px 12px 8px; }
  h1 { font-size: 25px; }
  svg { font-size: 15px; }
  th, td { padding-right: 7px; }
  th:first-child { white-space: normal; max-width: 11em; }
}
@media print {
  body { background: #fff; max-width: none; padding: 0; font-size: 11pt; }
  section { border: 0; padding: 0; }
  nav, .skip { display: none; }
  figure, table, .card { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
</style>
</head>
<body>
<a class="skip" href="#content">Skip to the report</a>
<header>
<h1>$title</h1>
<p>$subtitle</p>
$cards
<p class="notice">$notice</p>
<nav aria-label="Sections"><ul>$links</ul></nav>
</header>
<main id="content">
$sections
</main>
<footer><p class="faint">$footer</p></footer>
</body>
</html>
"""
