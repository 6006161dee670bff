// What can be done with the rows that are chosen: by menu, by key, by dragging.

import { api, h, icon, isField, toast } from "./dom.js";
import { chosen, current, focus, isForList, choose, open } from "./choice.js";
import { adopt, details, drive, mayWrite, nameOf, order, pathOf, refreshRows, rowOf, rows, send, shown } from "./drive.js";

// Requests of one act at once: a browser has six connections, and others need some.
const AT_ONCE = 3;
const KIND = "application/x-acquit-items";

// Whoever types keeps the keyboard, whatever comes of what they did before.
const isTyping = () => isField(document.activeElement);

const idOf = (row) => row.dataset.id;
const items = (ids) => ids.map((id) => ["item", id]);
// A folder comes as an archive.
const downloadOf = (id) =>
  pathOf(id).endsWith("/") ? `/ui/api/acquit/items/${encodeURIComponent(id)}/archive` : `/ui/api/monitor/items/${encodeURIComponent(id)}/download`;

async function each(all, act) {
  const waiting = [...all];
  const worker = async () => {
    while (waiting.length > 0) await act(waiting.shift());
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Moves items to the trash, and offers to take it back. */
export async function trash(ids) {
  const [done, failed] = [[], []];
  const at = placeOf(ids);
  await each(ids, async (id) => {
    try {
      const answer = await api(`/monitor/items/${encodeURIComponent(id)}`, { method: "DELETE" });
      done.push(answer.meta.act);
      rowOf(id)?.remove();
    } catch (error) {
      failed.push(`${pathOf(id)}: ${error.message}`);
    }
  });
  shown();
  if (!isTyping()) focusAt(at);
  if (failed.length > 0) toast(`${failed.length} of ${ids.length} items could not be moved to the trash. ${failed[0]}`, "bad");
  if (done.length > 0) toast(undoable(done));
  await refreshRows();
}

function undoable(acts) {
  const undo = h("button", { type: "button", class: "button button--small", onclick: () => restore(acts, undo) }, "Undo");
  const words = acts.length === 1 ? "1 item is in the trash now." : `${acts.length} items are in the trash now.`;
  return h("span", { class: "row row--between" }, words, undo);
}

async function restore(acts, button) {
  button.disabled = true;
  const owner = encodeURIComponent(drive().dataset.owner);
  let failed;
  await each(acts, (act) => api(`/acquit/trash/${act}/restore?owner=${owner}`, { method: "POST" }).catch((error) => (failed = error)));
  if (failed) toast(failed.message, "bad");
  button.closest(".notice")?.remove();
  await refreshRows();
}

/** Downloads files and folders, one after the other. */
export async function download(ids) {
  for (const id of ids) {
    h("a", { href: downloadOf(id), download: "" }).click();
    // A browser drops downloads that are begun all at once.
    await new Promise((resume) => setTimeout(resume, 400));
  }
}

/** Asks where to move or copy items, and does it. */
export async function pick(act, ids) {
  const at = placeOf(ids);
  const page = await order([["act", act], ...items(ids)]);
  if (!page) return;
  const dialog = h("dialog", { "aria-label": page.querySelector("h1").textContent.trim() });
  const fill = (from) => {
    const heading = h("h2", {}, from.querySelector("h1").textContent.trim());
    dialog.replaceChildren(h("div", { class: "stack" }, heading, form(from)));
    dialog.querySelector("[aria-current]")?.focus();
  };
  const form = (from) => {
    const own = document.importNode(from.getElementById("choose"), true);
    own.removeAttribute("id");
    own.className = "stack";
    own.addEventListener("submit", async (event) => {
      event.preventDefault();
      event.stopPropagation();
      const next = await send("/collection/act", new FormData(own, event.submitter));
      if (event.submitter.name === "open") return next && fill(next);
      dialog.close();
      await take(next, at);
    });
    own.querySelector("a[data-close]").addEventListener("click", (event) => event.preventDefault());
    return own;
  };
  fill(page);
  dialog.addEventListener("close", () => {
    dialog.remove();
    regain(at);
  });
  document.body.append(dialog);
  dialog.showModal();
}

// Which row the first of them is.
const placeOf = (ids) => Math.max(0, rows().findIndex((row) => ids.includes(idOf(row))));

// Moves the keyboard to what is at that place now.
const focusAt = (at) => focus(rows()[Math.min(at, rows().length - 1)]);

// The same, if it is nowhere.
function regain(at) {
  if (document.activeElement === document.body || !document.activeElement) focusAt(at);
}

/** Takes over what became of items that were at a place; the keyboard stays in the list. */
async function take(page, at) {
  if (page) adopt(page);
  await refreshRows();
  regain(at);
}

/** Gives an item another name, where its name is. */
export function rename(row) {
  const cell = row.querySelector(".drive__name");
  const link = cell.querySelector("a");
  const old = nameOf(pathOf(idOf(row)));
  const field = h("input", { type: "text", "aria-label": `New name of ${old}`, maxlength: 1024, autocomplete: "off" });
  field.value = old;
  row.draggable = false;
  let done = false;
  const finish = async (keep) => {
    if (done) return;
    done = true;
    const name = field.value.trim();
    field.replaceWith(link);
    row.draggable = true;
    focus(row);
    if (keep && name && name !== old) await renamed(row, name);
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter") event.preventDefault();
    if (event.key === "Enter" || event.key === "Escape") finish(event.key === "Enter");
  });
  field.addEventListener("blur", () => finish(true));
  link.replaceWith(field);
  field.focus();
  const end = row.dataset.kind === "file" ? old.lastIndexOf(".") : -1;
  field.setSelectionRange(0, end > 0 ? end : old.length);
}

async function renamed(row, name) {
  const page = await order([["act", "rename"], ["name", name], ["item", idOf(row)]]);
  if (!page) return;
  adopt(page);
  const isShown = show(name);
  await refreshRows();
  // It may be among rows further down, which the page that came does not have.
  if (!isShown && !isTyping()) show(name);
}

function show(name) {
  const row = rows().find((it) => nameOf(pathOf(idOf(it))) === name);
  if (!row) return false;
  choose([row]);
  focus(row);
  return true;
}

// --- the menu ------------------------------------------------------------------------------------

const ACTS = [
  { id: "open", name: "Open", picture: "folder", key: "Enter", fits: (all) => all.length === 1, act: ([row]) => open(row) },
  { id: "details", name: "Details", picture: "info", fits: (all) => all.length === 1, act: ([row]) => details(row.querySelector("[data-menu]").getAttribute("href")) },
  { id: "download", name: "Download", picture: "download", writes: true, fits: () => true, act: (all) => download(all.map(idOf)) },
  { id: "rename", name: "Rename", picture: "edit", key: "F2", writes: true, fits: (all) => all.length === 1, act: ([row]) => rename(row) },
  { id: "move", name: "Move…", picture: "move", writes: true, fits: () => true, act: (all) => pick("move", all.map(idOf)) },
  { id: "copy", name: "Copy…", picture: "copy", writes: true, fits: () => true, act: (all) => pick("copy", all.map(idOf)) },
  { id: "trash", name: "Move to trash", picture: "trash", key: "Delete", writes: true, fits: () => true, act: (all) => trash(all.map(idOf)) },
];

function showMenu(row, { x, y }) {
  if (row.getAttribute("aria-selected") !== "true") choose([row]);
  focus(row);
  const all = chosen();
  const fits = ACTS.filter((act) => (!act.writes || mayWrite()) && act.fits(all));
  const buttons = fits.map((act) =>
    h("button", { type: "button", role: "menuitem", tabindex: -1, onclick: () => leave(menu, () => act.act(all)) }, icon(act.picture), act.name, act.key && h("kbd", { "aria-hidden": "true" }, act.key)),
  );
  const menu = h("div", { class: "context", role: "menu", popover: "auto", "aria-label": all.length === 1 ? "What can be done with it" : `What can be done with ${all.length} items` }, ...buttons);
  menu.addEventListener("keydown", (event) => walk(event, buttons));
  menu.addEventListener("toggle", (event) => event.newState === "closed" && menu.remove());
  document.getElementById("main").append(menu);
  menu.showPopover();
  menu.style.left = `${Math.max(4, Math.min(x, innerWidth - menu.offsetWidth - 4))}px`;
  menu.style.top = `${Math.max(4, Math.min(y, innerHeight - menu.offsetHeight - 4))}px`;
  buttons[0]?.focus();
}

function leave(menu, act) {
  menu.hidePopover();
  current()?.focus({ preventScroll: true });
  act();
}

function walk(event, buttons) {
  const at = buttons.indexOf(document.activeElement);
  const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 };
  if (event.key === "Tab") return leave(event.currentTarget, () => {});
  if (event.key === "Escape") return leave(event.currentTarget, () => event.preventDefault());
  if (!(event.key in steps)) return;
  event.preventDefault();
  event.stopPropagation();
  buttons[(steps[event.key] + buttons.length) % buttons.length].focus();
}

const below = (element) => {
  const box = element.getBoundingClientRect();
  return { x: box.left, y: box.bottom };
};

document.addEventListener("contextmenu", (event) => {
  const row = event.target.closest?.(".drive__row");
  if (!row || event.target.closest("input[type=text]")) return;
  event.preventDefault();
  // The menu key has no place of its own.
  showMenu(row, event.clientX || event.clientY ? { x: event.clientX, y: event.clientY } : below(row.querySelector(".drive__name")));
});
document.addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-menu]");
  if (!opener || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  showMenu(opener.closest(".drive__row"), below(opener));
}, true);
document.addEventListener("keydown", (event) => {
  if (!isForList(event) || !current()) return;
  const all = chosen().length > 0 ? chosen() : [current()];
  if (event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey)) {
    event.preventDefault();
    showMenu(current(), below(current().querySelector(".drive__name")));
  } else if (mayWrite() && event.key === "F2") {
    event.preventDefault();
    rename(current());
  } else if (mayWrite() && event.key === "Delete") {
    event.preventDefault();
    trash(all.map(idOf));
  }
});

// --- dragging rows -------------------------------------------------------------------------------

/** The folder below the mouse: a row, or one of the tree or of the folders above. */
export function targetOf(event) {
  return event.target.closest?.('[data-drop], .drive__row[data-kind="folder"]');
}

/** Shows where what is dragged would go. */
export function mark(target) {
  for (const old of document.querySelectorAll(".is-target")) if (old !== target) old.classList.remove("is-target");
  target?.classList.add("is-target");
}

// The key that copies is another one on a Mac.
const copies = (event) => event.ctrlKey || event.altKey;
const isOurs = (event) => event.dataTransfer?.types.includes(KIND);

document.addEventListener("dragstart", (event) => {
  const row = event.target.closest?.(".drive__row");
  if (!row || !mayWrite()) return;
  if (row.getAttribute("aria-selected") !== "true") choose([row]);
  const ids = chosen().map(idOf);
  event.dataTransfer.setData(KIND, JSON.stringify(ids));
  event.dataTransfer.setData("text/plain", ids.map(pathOf).join("\n"));
  event.dataTransfer.effectAllowed = "copyMove";
});
document.addEventListener("dragover", (event) => {
  if (!isOurs(event)) return;
  const target = targetOf(event);
  mark(target);
  if (!target) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = copies(event) ? "copy" : "move";
});
document.addEventListener("dragend", () => mark(null));
document.addEventListener("drop", async (event) => {
  if (!isOurs(event)) return;
  event.preventDefault();
  mark(null);
  const target = targetOf(event);
  const to = target && (target.dataset.drop ?? target.dataset.id);
  const ids = JSON.parse(event.dataTransfer.getData(KIND)).filter((id) => id !== to);
  if (!to || ids.length === 0) return;
  const at = placeOf(ids);
  await take(await order([["act", copies(event) ? "copy" : "move"], ["to", to], ...items(ids)]), at);
});
