// What a folder's page shows now: other folders are put in its place without leaving it, so that
// uploads go on, and what has changed is put into the rows that are there.

import { h, toast, visible } from "./dom.js";
import { tellOver } from "./live.js";

const SCHEME = "vtmonitor-v1://";
const spoken = h("div", { class: "visually-hidden", role: "status" });
document.body.append(spoken);

/** The element of the drive, its list, its details. */
export const drive = () => document.getElementById("drive");
export const list = () => document.getElementById("list");
export const panel = () => document.getElementById("panel");

/** Whether who looks may change what is here. */
export const mayWrite = () => "writes" in drive().dataset;

/** The rows that are shown, of all parts. What is in them is not looked through. */
export const rows = () => [...list().tBodies].flatMap((part) => [...part.rows]);

/** The row of an item. Nothing is searched for it: there may be a great many. */
export const rowOf = (id) => document.getElementById(id);

/** Reads the path of an item out of its id. */
export function pathOf(id) {
  const plain = atob(id.replace(/-/g, "+").replace(/_/g, "/"));
  const text = new TextDecoder().decode(Uint8Array.from(plain, (c) => c.charCodeAt(0)));
  return text.slice(text.indexOf("/", SCHEME.length));
}

/** The last part of a path. */
export const nameOf = (path) => path.replace(/\/$/, "").split("/").pop();

/** Tells something to who hears the page. */
export function say(text) {
  spoken.textContent = visible(text);
}

const parse = (text) => new DOMParser().parseFromString(text, "text/html");

/** Reads a page or a part of one; nothing if it cannot be had here. `quiet`: nobody has asked. */
export async function read(url, { quiet = false, ...options } = {}) {
  const response = await fetch(url, { headers: { Accept: "text/html" }, ...options }).catch(() => undefined);
  if (!response) {
    if (!quiet) toast("The appliance cannot be reached. Try again in a moment.", "bad");
    return undefined;
  }
  const page = parse(await response.text());
  if (response.redirected && new URL(response.url).pathname === "/sign-in") {
    if (quiet) tellOver();
    else location.assign(response.url);
    return undefined;
  }
  if (response.ok) return page;
  if (!quiet) toast(page.querySelector(".empty .strong")?.textContent ?? response.statusText, "bad");
  return undefined;
}

/** Sends a form's fields and returns the page that comes of it. */
export function send(action, fields) {
  return read(action, { method: "POST", body: new URLSearchParams(fields) });
}

/** Sends an order about items; `fields` are pairs. */
export function order(fields) {
  const csrf = document.querySelector('meta[name="csrf-token"]').content;
  return send("/collection/act", [["csrf", csrf], ["owner", drive().dataset.owner], ["back", here()], ...fields]);
}

/** The URL of the folder that is open, without details. */
export function here() {
  const url = new URL(location.href);
  for (const name of ["item", "view"]) url.searchParams.delete(name);
  return url.pathname + url.search;
}

function told(element) {
  document.dispatchEvent(new CustomEvent("refreshed", { detail: element }));
}

/** Goes to another folder, or another order of this one. */
export async function visit(url, push = true) {
  const page = await read(url);
  if (!page) return;
  if (!page.getElementById("drive")) return location.assign(url);
  const inside = list()?.contains(document.activeElement);
  swap(page);
  if (push) history.pushState({}, "", url);
  if (inside) rows()[0]?.focus();
  say(`${document.querySelector("h1").textContent.trim()}: ${rows().length} items are shown`);
}

function swap(page) {
  drive().replaceWith(document.importNode(page.getElementById("drive"), true));
  document.title = page.title;
  scrollTo(0, 0);
  settle();
}

/** Makes ready what was put into the page. */
export function settle() {
  for (const row of rows()) ready(row);
  list().setAttribute("role", "grid");
  list().setAttribute("aria-multiselectable", "true");
  for (const cell of list().querySelectorAll("thead [role=cell]")) cell.setAttribute("role", "gridcell");
  told(drive());
  document.dispatchEvent(new CustomEvent("driven"));
}

// A row is one stop for the keyboard: what is in it is reached by keys of the row.
function ready(row) {
  if (row.tabIndex === -1 && row.hasAttribute("tabindex")) return;
  row.id = row.dataset.id;
  row.tabIndex = -1;
  row.draggable = mayWrite();
  if (!row.hasAttribute("aria-selected")) row.setAttribute("aria-selected", "false");
  readyCells(row);
}

function readyCells(row) {
  for (const cell of row.querySelectorAll("[role=cell]")) cell.setAttribute("role", "gridcell");
  for (const stop of row.querySelectorAll("a, input, button")) stop.tabIndex = -1;
}

/** Takes over what an act has changed, and what the page that came of it says. */
export function adopt(page) {
  const fresh = page.getElementById("drive");
  const said = page.querySelector("main > .notice");
  if (said) toast(said.textContent.trim());
  if (!fresh) return;
  if (fresh.dataset.folder !== drive().dataset.folder) return swap(page);
  beside(page);
  const part = page.querySelector(".drive__part");
  const mine = [...list().tBodies].find((it) => it.dataset.part === part.dataset.part);
  if (mine) patch(mine, part);
  if (page.getElementById("panel").childElementCount > 0) showPanel(page.getElementById("panel"));
}

// The folders and the room that are shown beside the list.
function beside(page) {
  for (const id of ["tree", "usage"]) {
    const [old, now] = [document.getElementById(id), page.getElementById(id)];
    if (old && now && old.innerHTML !== now.innerHTML) old.replaceChildren(...document.importNode(now, true).childNodes);
  }
}

const isBusy = (row) => row.querySelector("input[type=text]") !== null;

/** Puts a page of rows as it is now in place of what was shown of it. */
export function patch(part, fresh) {
  const known = new Set([...fresh.rows].map((row) => row.dataset.id));
  const old = [...part.rows];
  // Rows behind the last common one may belong to the next page now.
  const end = fresh.dataset.more ? 1 + old.findLastIndex((row) => known.has(row.dataset.id)) : old.length;
  const focused = part.contains(document.activeElement) ? document.activeElement : undefined;
  const at = rows().indexOf(focused?.closest(".drive__row"));
  for (const row of old.slice(0, end)) {
    if (!known.has(row.dataset.id) && !isBusy(row)) row.remove();
  }
  let place = part.firstElementChild;
  for (const row of fresh.rows) {
    const mine = renewed(row);
    if (mine === place) place = place.nextElementSibling;
    else part.insertBefore(mine, place);
  }
  if (focused && document.activeElement !== focused) keep(focused, at);
  if (part === list().tBodies[list().tBodies.length - 1]) part.dataset.more = fresh.dataset.more;
  shown();
  told(part);
}

// Where the row the keyboard was at has gone, it stays at that place.
function keep(focused, at) {
  const row = focused.closest(".drive__row");
  const next = [focused, row, rows()[Math.min(at, rows().length - 1)]].find((it) => it?.isConnected);
  next?.focus({ preventScroll: true });
}

function renewed(fresh) {
  const mine = rowOf(fresh.dataset.id);
  if (!mine) {
    const row = document.importNode(fresh, true);
    ready(row);
    return row;
  }
  if (mine.dataset.stamp === fresh.dataset.stamp || isBusy(mine)) return mine;
  mine.dataset.stamp = fresh.dataset.stamp;
  const cells = [...document.importNode(fresh, true).cells];
  // The first one is the tick, which stays as it was set.
  for (const [at, cell] of [...mine.cells].entries()) if (at > 0) cell.replaceWith(cells[at]);
  readyCells(mine);
  return mine;
}

/** Shows the list, or what stands for it where it is empty. */
export function shown() {
  const empty = [...list().tBodies].every((part) => part.rows.length === 0);
  list().hidden = empty;
  document.getElementById("nothing").hidden = !empty;
  document.dispatchEvent(new CustomEvent("listed"));
}

let reading = false;

/** Adds the next page of rows; tells whether there was one. */
export async function more() {
  const last = list().tBodies[list().tBodies.length - 1];
  if (reading || !last?.dataset.more) return false;
  reading = true;
  const page = await read(last.dataset.more);
  reading = false;
  if (!page || !last.isConnected) return false;
  const part = document.importNode(page.querySelector(".drive__part"), true);
  for (const row of [...part.rows]) rowOf(row.dataset.id) ? row.remove() : ready(row);
  last.after(part);
  shown();
  told(part);
  return true;
}

let due;
let isBesideDue = false;

/** Reads again the rows that are in view, soon, and at most once in a while; perhaps what is beside them, too. */
export function refreshSoon(pause = 1200, withBeside = false) {
  isBesideDue ||= withBeside;
  due ??= setTimeout(async () => {
    due = undefined;
    if (!document.hidden) await refreshRows();
  }, pause);
}

/** Reads again the rows that are in view. */
export async function refreshRows() {
  const inView = (part) => {
    const box = part.getBoundingClientRect();
    return box.bottom >= 0 && box.top <= innerHeight;
  };
  const parts = [...list().tBodies].filter((part, at) => inView(part) || (at === 0 && part.rows.length === 0));
  const [before, withBeside] = [folders(), isBesideDue];
  isBesideDue = false;
  // The page has the first rows as well.
  let page = withBeside ? await whole() : undefined;
  for (const part of parts.slice(0, 3)) {
    const has = page?.querySelector(".drive__part");
    const fresh = has?.dataset.part === part.dataset.part ? has : (await read(part.dataset.part, { quiet: true }))?.querySelector(".drive__part");
    if (fresh && part.isConnected) patch(part, fresh);
  }
  // Folders that came or went are in the tree, too.
  if (!withBeside && folders() !== before) page = await whole();
  if (page?.getElementById("drive").dataset.folder === drive().dataset.folder) beside(page);
}

// Reads the page of the folder that is open as it is now; nothing if another is open then.
async function whole() {
  const folder = drive().dataset.folder;
  const page = await read(here(), { quiet: true });
  return page?.getElementById("drive")?.dataset.folder === folder ? page : undefined;
}

const folders = () => rows().filter((row) => row.dataset.kind === "folder").map((row) => row.dataset.id).join();

/** Puts only the list of a page in place, so that what is typed beside it stays. */
export function swapList(page) {
  for (const id of ["list-card", "pager"]) {
    document.getElementById(id).replaceChildren(...document.importNode(page.getElementById(id), true).childNodes);
  }
  settle();
}

/** Shows details in place of those that are shown. */
export function showPanel(fresh) {
  const aside = panel();
  const opened = new Map([...aside.querySelectorAll("details[id]")].map((it) => [it.id, it.open]));
  aside.replaceChildren(...document.importNode(fresh, true).childNodes);
  for (const [id, open] of opened) {
    const part = document.getElementById(id);
    if (part) part.open = open;
  }
  aside.hidden = false;
  document.getElementById("drive-split").classList.add("has-panel");
  told(aside);
}

/** Opens the details a URL leads to. */
export async function details(url, { focus = true, quiet = false } = {}) {
  const page = await read(url.replace(/^\/collection\?/, "/collection/panel?"), { quiet });
  if (!page) return;
  showPanel(page.body);
  history.replaceState({}, "", url);
  const heading = panel().querySelector("h2");
  if (focus && heading) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    if (panel().getBoundingClientRect().top < 0) panel().scrollIntoView({ block: "nearest" });
  }
}

/** Closes the details. */
export function closeDetails() {
  panel().replaceChildren();
  panel().hidden = true;
  document.getElementById("drive-split").classList.remove("has-panel");
  history.replaceState({}, "", here());
}
