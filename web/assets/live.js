// Keeps a page true: hints come by server-sent events, and the page's own regions are read again.
// A region is an element with an id and data-live="analysis engine event …".

import { h, toast } from "./dom.js";

// Hints come in bursts: the first is answered soon, those after it together.
const PAUSE = 400;
const APART = 2000;
// Before figures are asked for again that were older than the last hint.
const LATER = 5000;
// Before a server is asked again that refused.
const AGAIN = 15_000;
// What is scrolled by itself.
const SCROLLED = '[tabindex="0"], .table-scroll';
let refreshed = 0;
let heard = 0;
let source;
let due;
let gone = false;
let over = false;
const waiting = new Set();
const listeners = new Set();

/** Calls `heard(kind, data)` for each hint. */
export function listen(heard) {
  listeners.add(heard);
  open();
}

/** Starts to keep the page's regions true, if it has any. */
export function start() {
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  open();
}

function wanted() {
  return listeners.size > 0 || document.querySelector("[data-live]") !== null;
}

// A hidden page needs no connection: browsers have few for each server.
function close() {
  source?.close();
  source = undefined;
}

function open() {
  if (source || over || document.hidden || !wanted()) return;
  let deaf = true;
  source = new EventSource("/ui/api/acquit/stream");
  for (const kind of ["analysis", "engine", "event", "update", "rescan", "changed"]) {
    source.addEventListener(kind, (event) => hint(kind, parse(event.data)));
  }
  source.addEventListener("incident", (event) => hint("event", parse(event.data)));
  source.addEventListener("lagged", () => hint("everything"));
  source.addEventListener("open", () => {
    // What came before it, since the page was made or the connection lost, is told by nobody.
    if (deaf) hint("everything");
    deaf = false;
  });
  source.addEventListener("error", () => {
    deaf = true;
    if (source?.readyState !== EventSource.CLOSED) return;
    // The server refused: the session is over, which the page then says, or it is just starting.
    source = undefined;
    hint("everything");
    setTimeout(open, AGAIN);
  });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function hint(kind, data = {}) {
  heard = Date.now();
  for (const listener of listeners) listener(kind, data);
  waiting.add(kind);
  due ??= setTimeout(refresh, Math.max(PAUSE, refreshed + APART - Date.now()));
}

function isMeant(region) {
  const topics = region.dataset.live.split(" ");
  return waiting.has("everything") || topics.some((topic) => waiting.has(topic));
}

/** Reads the page again and puts its regions in place of the old ones. */
export async function refresh() {
  due = undefined;
  refreshed = Date.now();
  const regions = [...document.querySelectorAll("[data-live][id]")].filter(isMeant);
  waiting.clear();
  if (regions.length === 0 || over) return;
  const response = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => undefined);
  if (response?.redirected && new URL(response.url).pathname === "/sign-in") return tellOver();
  if (response?.status === 404) tellGone();
  if (!response?.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const region of regions) replace(region, page.getElementById(region.id));
  document.dispatchEvent(new CustomEvent("refreshed"));
  if (isBehind(page, response)) due ??= setTimeout(() => refreshAll(), LATER);
}

// Figures that are counted behind the page's back may be older than what was heard of.
function isBehind(page, response) {
  const counted = Number(page.querySelector("[data-as-of]")?.dataset.asOf);
  const now = Date.parse(response.headers.get("date"));
  return counted * 1000 + 1000 <= now - (Date.now() - heard);
}

function refreshAll() {
  waiting.add("everything");
  return refresh();
}

// What the page shows was true once: whoever reads it must not think that it still is.
function tellGone() {
  if (!gone) toast("What this page shows is not there for you any more.", "warn");
  gone = true;
}

/** Says that the session is over, once. */
export function tellOver() {
  if (over) return;
  over = true;
  close();
  const again = h("a", { class: "linked", href: location.href }, "Sign in again");
  toast(h("span", {}, "Your session is over: this page does not change any more. ", again, "."), "warn");
}

// What somebody works in stays as it is until they are done.
function replace(region, fresh) {
  const busy = region.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
  if (!fresh || busy || region.querySelector("dialog[open]") || region.isEqualNode(fresh)) return;
  const focused = region.contains(document.activeElement) ? path(region, document.activeElement) : undefined;
  const opened = [...region.querySelectorAll("details[open][id]")].map((it) => it.id);
  const scrolled = [...region.querySelectorAll(SCROLLED)].filter((it) => it.scrollTop || it.scrollLeft);
  const places = scrolled.map((it) => [path(region, it), it.scrollLeft, it.scrollTop]);
  region.replaceChildren(...fresh.childNodes);
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  for (const [steps, left, top] of places) at(region, steps)?.scrollTo(left, top);
  if (focused) at(region, focused)?.focus({ preventScroll: true });
}

const at = (region, steps) => steps.reduce((node, step) => node?.children[step], region);

function path(region, element) {
  const steps = [];
  for (let node = element; node !== region; node = node.parentElement) {
    steps.unshift([...node.parentElement.children].indexOf(node));
  }
  return steps;
}
