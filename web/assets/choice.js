// Which rows are chosen, by mouse and by keyboard: a grid in which a row is one stop.

import { isField } from "./dom.js";
import { details, drive, list, rows, say, visit } from "./drive.js";

let active;
let anchor;

/** The rows that are chosen. */
export const chosen = () => rows().filter((row) => row.getAttribute("aria-selected") === "true");

/** The row the keyboard is at. */
export const current = () => (active?.isConnected ? active : undefined);

function set(row, isChosen) {
  row.setAttribute("aria-selected", String(isChosen));
  row.querySelector("input[type=checkbox]").checked = isChosen;
}

/** Shows how many are chosen, and what can be done with them. */
export function count() {
  const all = chosen();
  const status = document.getElementById("chosen");
  if (!status) return;
  const text = all.length === 0 ? "" : `${all.length} selected`;
  if (status.textContent !== text) status.textContent = text;
  for (const button of document.querySelectorAll("#bulk-acts button")) button.disabled = all.length === 0;
}

/** Chooses these rows and no others. */
export function choose(these) {
  const wanted = new Set(these);
  for (const row of chosen()) if (!wanted.has(row)) set(row, false);
  for (const row of wanted) set(row, true);
  count();
}

/** Chooses none. */
export const clear = () => choose([]);

/** Moves the keyboard to a row. */
export function focus(row) {
  if (!row) return;
  if (active) active.tabIndex = -1;
  active = row;
  row.tabIndex = 0;
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function stretch(to) {
  const all = rows();
  const [from, end] = [all.indexOf(anchor), all.indexOf(to)].sort((a, b) => a - b);
  choose(all.slice(Math.max(from, 0), end + 1));
}

/** Opens a folder, or a file's details. */
export function open(row) {
  const link = row.querySelector(".drive__name a");
  if (row.dataset.kind === "folder") visit(link.getAttribute("href"));
  else details(link.getAttribute("href"));
}

function toggle(row) {
  set(row, row.getAttribute("aria-selected") !== "true");
  anchor = row;
  count();
}

function click(event) {
  const row = event.target.closest?.(".drive__row");
  if (!row || event.target.closest("a, button, input[type=text]") || event.defaultPrevented) return;
  const ticked = event.target.closest(".drive__pick") !== null;
  if (event.shiftKey && anchor?.isConnected) {
    stretch(row);
  } else if (ticked || event.ctrlKey || event.metaKey) {
    // The browser has set the tick itself already.
    toggle(row);
  } else {
    choose([row]);
    anchor = row;
  }
  focus(row);
}

// How many rows of a grid are beside each other.
function across() {
  if (!list().classList.contains("drive--grid")) return 1;
  const all = rows();
  if (all.length < 2) return 1;
  const top = all[0].offsetTop;
  const next = all.findIndex((row) => row.offsetTop !== top);
  return next < 0 ? all.length : next;
}

function target(key, all, at) {
  const width = across();
  const steps = { ArrowDown: width, ArrowUp: -width, PageDown: 10 * width, PageUp: -10 * width };
  if (width > 1) Object.assign(steps, { ArrowRight: 1, ArrowLeft: -1 });
  if (key === "Home") return 0;
  if (key === "End") return all.length - 1;
  if (!(key in steps)) return undefined;
  return at < 0 ? 0 : Math.min(Math.max(at + steps[key], 0), all.length - 1);
}

function walk(event) {
  const all = rows();
  const to = all[target(event.key, all, all.indexOf(current())) ?? -1];
  if (!to) return false;
  if (event.shiftKey) {
    anchor ??= current() ?? to;
    stretch(to);
  } else if (!event.ctrlKey && !event.metaKey) {
    choose([to]);
    anchor = to;
  }
  focus(to);
  return true;
}

function press(event) {
  const key = event.key;
  if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "a") {
    choose(rows());
    say(`All ${rows().length} rows that are loaded are selected`);
    if (!current()) focus(rows()[0]);
    return true;
  }
  if (event.altKey) return false;
  const row = current();
  if (key === " " && row) toggle(row);
  else if (key === "Enter" && row) open(row);
  else if (key === "Escape" && chosen().length > 0) clear();
  else return walk(event);
  return true;
}

/** Tells whether a key is meant for the list: nobody types, and nothing else has the focus. */
export function isForList(event) {
  const at = event.target;
  if (event.defaultPrevented || !list() || list().hidden || document.querySelector("dialog[open], .context:popover-open")) return false;
  if (isField(at)) return false;
  return at === document.body || at.id === "main" || list().contains(at);
}

document.addEventListener("click", click);
document.addEventListener("dblclick", (event) => {
  const row = event.target.closest?.(".drive__row");
  if (row && !event.target.closest("a, button, input")) open(row);
});
document.addEventListener("keydown", (event) => {
  if (isForList(event) && press(event)) event.preventDefault();
});
// One row is a stop for the keyboard, whichever it was last.
document.addEventListener("listed", () => {
  if (!current()) active = undefined;
  const stop = current() ?? rows()[0];
  if (stop) stop.tabIndex = 0;
  count();
});
document.addEventListener("focusin", (event) => {
  const row = event.target.closest?.(".drive__row");
  if (!row || row === active || !drive().contains(row)) return;
  if (active) active.tabIndex = -1;
  active = row;
  row.tabIndex = 0;
});
