// A folder's page: goes to other folders without leaving, loads rows as they come into view,
// filters as one types, sends forms, hears what has changed.

import { h, toast } from "./dom.js";
import { listen } from "./live.js";
import { download, pick, trash } from "./acts.js";
import { clear } from "./choice.js";
import { adopt, closeDetails, details, drive, here, list, more, panel, read, refreshRows, refreshSoon, send, settle, shown, swapList, visit } from "./drive.js";
import { isUploading } from "./upload.js";

// --- going elsewhere -----------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("#drive a[href]");
  if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const href = link.getAttribute("href");
  if (!/^\/collection(\?|$)/.test(href) || "download" in link.attributes) return;
  event.preventDefault();
  if ("closePanel" in link.dataset) closeDetails();
  else if ("details" in link.dataset) details(href);
  else if (link.rel === "next") more();
  else visit(href);
});
addEventListener("popstate", () => visit(location.pathname + location.search, false));

// --- more rows -----------------------------------------------------------------------------------

document.addEventListener("listed", watch);

// Comes into view before the end of the list does.
const watcher = new IntersectionObserver((entries) => entries.some((it) => it.isIntersecting) && more(), { rootMargin: "0px 0px 800px" });

// A folder that was short when it was opened may have more than a page now.
function watch() {
  const pager = document.getElementById("pager");
  const last = list()?.tBodies[list().tBodies.length - 1];
  let next = pager?.querySelector("[rel=next]");
  watcher.disconnect();
  if (!last?.dataset.more) return next?.remove();
  if (!next) {
    const href = last.dataset.more.replace("/collection/rows", "/collection");
    next = h("a", { class: "button button--small", rel: "next", href });
    (pager.querySelector(".buttons") ?? pager).append(next);
  }
  next.textContent = "Load more";
  watcher.observe(pager);
}

// --- the filter ----------------------------------------------------------------------------------

let typed;

async function filter(form, push) {
  const url = `/collection?${new URLSearchParams([...new FormData(form)].filter(([, value]) => value))}`;
  const page = await read(url);
  if (!page?.getElementById("list-card")) return;
  history[push ? "pushState" : "replaceState"]({}, "", url);
  swapList(page);
}

document.addEventListener("input", (event) => {
  const form = event.target.closest?.("[data-filter]");
  if (!form || event.target.type !== "search") return;
  clearTimeout(typed);
  typed = setTimeout(() => filter(form, false), 200);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !event.target.matches?.("[data-filter] [type=search]")) return;
  event.preventDefault();
  const field = event.target;
  if (field.value) {
    field.value = "";
    filter(field.form, false);
  }
  field.blur();
});

// --- forms ---------------------------------------------------------------------------------------

const ACTS = { trash: (ids) => trash(ids), download: (ids) => download(ids), move: (ids) => pick("move", ids), copy: (ids) => pick("copy", ids) };

async function submit(form, submitter) {
  const data = new FormData(form, submitter);
  const act = ACTS[data.get("act")];
  if (act) {
    const ids = data.getAll("item");
    if (ids.length === 0) return toast("Select items first.", "warn");
    if (form.closest("#panel") && data.get("act") === "trash") closeDetails();
    return act(ids);
  }
  const page = await send(form.getAttribute("action"), data);
  if (!page) return;
  for (const menu of form.closest("details.menu") ? [form.closest("details.menu")] : []) {
    menu.open = false;
    form.reset();
  }
  if (data.get("act") === "rename") closeDetails();
  adopt(page);
  await refreshRows();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !drive()?.contains(form)) return;
  if ("filter" in form.dataset) {
    event.preventDefault();
    filter(form, true);
  } else if (form.method === "post" && form.enctype !== "multipart/form-data") {
    event.preventDefault();
    submit(form, event.submitter);
  }
});

// --- what has changed ----------------------------------------------------------------------------

let panelDue;

// Details stay as they are while somebody writes in them.
async function refreshPanel() {
  panelDue = undefined;
  const item = new URL(location.href).searchParams.get("item");
  const isBusy = () => panel().contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
  const isEdited = () => [...panel().querySelectorAll("input:not([type=hidden]), textarea")].some((it) => it.value !== it.defaultValue);
  if (!item || panel().hidden || isBusy() || isEdited()) return;
  const focused = panel().contains(document.activeElement);
  const url = here();
  await details(`${url}${url.includes("?") ? "&" : "?"}item=${encodeURIComponent(item)}`, { focus: focused, quiet: true });
}

listen((kind) => {
  if (!["analysis", "event", "rescan", "everything"].includes(kind)) return;
  refreshSoon(isUploading() ? 3000 : 1200, kind !== "analysis");
  panelDue ??= setTimeout(refreshPanel, 2000);
});

document.addEventListener("driven", () => {
  clear();
  shown();
  for (const plain of document.querySelectorAll("[data-plain]")) plain.hidden = true;
});
settle();
