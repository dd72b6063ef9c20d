// The model card as headings, paragraphs, lists and tables, made of the small part of Markdown that cards use.

// Text -> elements. Nothing of it is taken as HTML.
export function elementsOf(markdown) {
  return blocks(markdown).map(([kind, lines]) => MAKERS[kind](lines));
}

// Text -> [kind, lines] for each block.
export function blocks(markdown) {
  const found = [];
  let open = null;
  for (const line of markdown.split(/\r?\n/)) {
    const kind = kindOf(line, open);
    if (kind && open && kind === open[0] && kind !== "heading") open[1].push(line);
    else if (kind) found.push((open = [kind, [line]]));
    else open = null;
  }
  return found;
}

function kindOf(line, open) {
  if (!line.trim()) return null;
  if (/^#{1,6} /.test(line)) return "heading";
  if (/^\s*\|/.test(line)) return "table";
  if (/^\s*[-*] /.test(line)) return "list";
  return open?.[0] === "list" && /^\s/.test(line) ? "list" : "paragraph";
}

const MAKERS = {
  heading: ([line]) => made(line.startsWith("# ") ? "h3" : "h4", line.replace(/^#+ /, "")),
  paragraph: (lines) => made("p", lines.join(" ")),
  list: (lines) => around("ul", items(lines).map((item) => made("li", item))),
  table: (lines) => around("table", lines.filter((line) => !/^[\s|:-]+$/.test(line)).map(rowOf)),
};

function items(lines) {
  return lines.reduce((all, line) => {
    const [, start] = line.match(/^\s*[-*] (.*)/) ?? [];
    return start === undefined ? [...all.slice(0, -1), `${all.at(-1)} ${line.trim()}`] : [...all, start];
  }, []);
}

function rowOf(line, i) {
  const cells = line.trim().replace(/^\||\|$/g, "").split("|");
  return around("tr", cells.map((cell) => made(i ? "td" : "th", cell.trim())));
}

function around(name, children) {
  const element = document.createElement(name);
  element.append(...children);
  return element;
}

// Text with **bold** and `code` in it; a link stays as its words and its address.
function made(name, text) {
  const plain = text.replace(/\[([^\]]+)\]\(([^)]+)\)/g, "$1 ($2)");
  return around(name, plain.split(/(\*\*[^*]+\*\*|`[^`]+`)/).map(span));
}

function span(part) {
  const [, bold, code] = part.match(/^(?:\*\*(.+)\*\*|`(.+)`)$/) ?? [];
  const inner = bold ?? code;
  if (inner === undefined) return part;
  return Object.assign(document.createElement(bold ? "strong" : "code"), { textContent: inner });
}
