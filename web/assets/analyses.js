// The table of items by engines: arrow keys go from cell to cell, and its row and column are lit.

const table = () => document.querySelector("[data-heat]");
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// Only one cell is reached by the tabulator: there may be hundreds.
function rove(cell) {
  for (const link of table()?.querySelectorAll(".heat__cell a") ?? []) link.tabIndex = link === cell ? 0 : -1;
}

function prepare() {
  const links = [...(table()?.querySelectorAll(".heat__cell a") ?? [])];
  rove(links.includes(document.activeElement) ? document.activeElement : links[0]);
}

function light(cell) {
  const body = table();
  for (const lit of body?.querySelectorAll(".is-lit") ?? []) lit.classList.remove("is-lit");
  if (!body || !cell?.classList.contains("heat__cell")) return;
  const at = cell.cellIndex;
  for (const row of body.rows) row.cells[at]?.classList.add("is-lit");
  for (const other of cell.parentElement.cells) other.classList.add("is-lit");
}

function cellAt(row, column) {
  return table()?.rows[row]?.cells[column]?.querySelector("a");
}

// The cell a key leads to; nothing for other keys and at the edge.
function target(cell, event) {
  const [row, column] = [cell.parentElement.rowIndex, cell.cellIndex];
  const cells = [...cell.parentElement.querySelectorAll(".heat__cell")];
  if (event.key === "Home") return cells[0].querySelector("a");
  if (event.key === "End") return cells.at(-1).querySelector("a");
  const step = STEPS[event.key];
  // Up from the first row and left of the first column are links of other kinds: these stay in the order of tabs.
  const next = step && table().rows[row + step[0]]?.cells[column + step[1]];
  return next?.classList.contains("heat__cell") ? cellAt(row + step[0], column + step[1]) : undefined;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const cell = event.target.closest?.("[data-heat] .heat__cell");
  const next = cell && target(cell, event);
  if (!next) return;
  event.preventDefault();
  rove(next);
  next.focus();
});

for (const kind of ["focusin", "mouseover"]) {
  document.addEventListener(kind, (event) => light(event.target.closest?.("[data-heat] .heat__cell")));
}

document.addEventListener("refreshed", prepare);
prepare();
