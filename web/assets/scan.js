// Files are sent as they are dropped or chosen, a few at a time, and each leads to its result.

import { api, bytes, h, icon, toast, token } from "./dom.js";

const AT_ONCE = 3;
const KEPT = "acquit scans";
const DIRECT = 16 << 20;
const form = document.getElementById("scan");
const list = document.getElementById("scans");
const waiting = [];
let busy = 0;

/** Sends a form, and tells how much of it is sent. */
function post(path, body, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/ui/api${path}`);
    request.setRequestHeader("X-CSRF-Token", token());
    request.upload.addEventListener("progress", (event) => progress(event.loaded, event.total));
    request.addEventListener("error", () => reject(new Error("the connection broke")));
    request.addEventListener("load", () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // Not an answer of the API: its status has to do.
      }
      if (request.status < 300) resolve(answer);
      else reject(new Error(answer.error?.message ?? `the appliance answered ${request.status}`));
    });
    request.send(body);
  });
}

/** Returns where a file goes: a large one to a URL of its own. */
async function place(file) {
  if (file.size <= DIRECT) return "/files";
  const url = (await api("/files/upload_url")).data;
  return url.slice(url.indexOf("/api/v3/") + "/api/v3".length);
}

async function send({ file, row }) {
  const bar = h("progress", { max: "1", value: "0", "aria-label": `Sending ${file.name}` });
  const said = h("p", { class: "muted small", role: "status" }, "Sending…");
  row.replaceChildren(name(file), bar, said);
  try {
    const body = new FormData();
    body.append("file", file);
    const { data } = await post(await place(file), body, (sent, all) => {
      bar.max = all;
      bar.value = sent;
      said.textContent = sent < all ? `${bytes(sent)} of ${bytes(all)}` : "Taking it in…";
    });
    const url = `/scan/${encodeURIComponent(data.id)}`;
    keep({ name: file.name, size: file.size, url });
    row.replaceChildren(name(file), done(url));
    return url;
  } catch (error) {
    row.replaceChildren(name(file), h("p", { class: "row" }, h("span", { class: "chip" }, icon("failed"), "Not sent"), error.message));
    toast(`${file.name}: ${error.message}`, "bad");
    return undefined;
  }
}

function name({ name, size }) {
  return h("p", {}, h("bdi", { class: "strong break" }, name), " ", h("span", { class: "muted" }, bytes(size)));
}

function done(url) {
  return h("p", {}, h("a", { href: url, class: "linked" }, "Open the result"));
}

async function next(alone) {
  while (busy < AT_ONCE && waiting.length > 0) {
    busy += 1;
    send(waiting.shift()).then((url) => {
      busy -= 1;
      // One file alone leads straight to its result.
      if (alone && url) location.assign(url);
      else next(alone);
    });
  }
}

function take(files) {
  const whole = [...files];
  if (whole.length === 0) return;
  const alone = whole.length === 1 && busy === 0;
  for (const file of whole) {
    const row = h("li", { class: "stack stack--tight" }, name(file), h("p", { class: "muted small" }, "Waiting…"));
    list.prepend(row);
    waiting.push({ file, row });
  }
  list.parentElement.hidden = false;
  next(alone);
}

// What was scanned in this window is remembered by the window only.
function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
}

function keep(scan) {
  sessionStorage.setItem(KEPT, JSON.stringify([scan, ...kept()].slice(0, 20)));
}

function start() {
  const input = form.querySelector("input[type=file]");
  input.multiple = true;
  input.required = false;
  input.labels[0].textContent = "Or choose files";
  form.querySelector("button").hidden = true;
  input.addEventListener("change", () => {
    take(input.files);
    input.value = "";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    take(input.files);
  });
  for (const scan of kept()) list.append(h("li", { class: "stack stack--tight" }, name(scan), done(scan.url)));
  list.parentElement.hidden = list.children.length === 0;
}

function over(event) {
  if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
  event.preventDefault();
  form.classList.toggle("drop--over", event.type === "dragover");
}

addEventListener("beforeunload", (event) => {
  if (busy > 0 || waiting.length > 0) event.preventDefault();
});

if (form) {
  start();
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", over);
  document.addEventListener("drop", (event) => {
    over(event);
    take(event.dataTransfer?.files ?? []);
  });
}
