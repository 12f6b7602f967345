// Tables: headers that sort their models (anchors stay where they are), and copying.

function startSorting(table) {
  for (const head of table.querySelectorAll("thead th[data-sort]")) {
    const button = make("button", { type: "button", class: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, head));
  }
}

function sortBy(table, head) {
  const now = head.getAttribute("aria-sort");
  const first = head.dataset.first || "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const direction = now === first ? other : first;
  for (const one of head.parentElement.children) one.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction);
  const sign = direction === "ascending" ? 1 : -1;
  const column = head.cellIndex;
  const numeric = head.dataset.sort === "number";
  for (const body of table.querySelectorAll("tbody.models")) {
    const rows = [...body.rows].map((row) => [sortKey(row.cells[column], numeric), row]);
    rows.sort(([a], [b]) => compareKeys(a, b, sign));
    body.append(...rows.map(([, row]) => row));
  }
}

function sortKey(cell, numeric) {
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (!numeric) return text.toLocaleLowerCase();
  return numberOf(text);
}

/** A number as Python writes it; null where there is none. */
function numberOf(text) {
  if (text === "inf") return Infinity;
  if (text === "-inf") return -Infinity;
  const plain = text.replaceAll(",", "");
  const value = Number.parseFloat(plain);
  return Number.isNaN(value) ? null : value;
}

function compareKeys(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "string") return sign * a.localeCompare(b);
  return a === b ? 0 : sign * (a < b ? -1 : 1);
}

const COPIES = { csv: "CSV", markdown: "Markdown", latex: "LaTeX" };

function startCopying(view) {
  const texts = data.views[Number(view.dataset.view)];
  const done = make("span", { class: "done", role: "status" });
  const known = Object.entries(COPIES).filter(([kind]) => kind in texts);
  const buttons = known.map(([kind, name]) =>
    make(
      "button",
      {
        type: "button",
        "data-copy": kind,
        onclick: async () => {
          const ok = await copyText(texts[kind]);
          done.textContent = ok ? `Copied as ${name}.` : "The browser did not allow copying.";
        },
      },
      `Copy ${name}`,
    ),
  );
  view.querySelector(".frame").after(make("div", { class: "tools" }, buttons, done));
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** For browsers that keep the clipboard from pages on the disk. */
function copyBySelection(text) {
  const area = make("textarea", { class: "hidden", "aria-hidden": "true", tabindex: "-1" });
  area.value = text;
  const before = document.activeElement;
  document.body.append(area);
  area.select();
  const ok = document.execCommand("copy");
  area.remove();
  before?.focus();
  return ok;
}

for (const table of document.querySelectorAll("table.results")) startSorting(table);
for (const view of document.querySelectorAll(".view[data-view]")) startCopying(view);
