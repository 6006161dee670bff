// What every script needs: elements made of text only, the API, a word to the reader.

// Characters that cannot be seen or change how others read; as src/text.rs has them.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** Returns a text with hidden characters made visible. */
export function visible(text) {
  return String(text).replace(HIDDEN, (c) => {
    const code = c.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
  });
}

/** Tells whether somebody types into an element, or chooses in it. */
export const isField = (element) => element?.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]") ?? false;

// Attributes that people read, too.
const READ = new Set(["title", "alt", "placeholder", "aria-label", "label"]);

/** Makes an element; children are nodes or text, never markup. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, READ.has(key) ? visible(value) : value);
  }
  for (const child of children.flat()) {
    if (child != null && child !== false) element.append(child instanceof Node ? child : visible(child));
  }
  return element;
}

/** Makes one of the pictures of icons.svg. */
export function icon(id) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `${new URL("icons.svg", import.meta.url).pathname}#${id}`);
  svg.append(use);
  return svg;
}

/** The session's token, for whatever changes something. */
export function token() {
  return document.querySelector('meta[name="csrf-token"]')?.content ?? "";
}

/** What the API said of a failure. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

/** Asks the API: `path` is below /api/v3, `body` becomes JSON unless it is a blob or a form. */
export async function api(path, { method = "GET", body, headers = {}, signal } = {}) {
  const raw = body instanceof Blob || body instanceof FormData || body == null;
  const response = await fetch(`/ui/api${path}`, {
    method,
    body: raw ? body : JSON.stringify(body),
    headers: { "X-CSRF-Token": token(), ...(raw ? {} : { "Content-Type": "application/json" }), ...headers },
    signal,
  });
  const text = await response.text();
  const answer = text ? JSON.parse(text) : {};
  if (response.ok) return answer;
  const error = answer.error ?? {};
  throw new ApiError(response.status, error.code, error.message ?? response.statusText);
}

/** Says something in a corner of the page; screen readers read it. `kind`: good, warn or bad. */
export function toast(text, kind = "good") {
  const pictures = { good: "clean", warn: "detected", bad: "failed" };
  const close = h("button", { type: "button", class: "button button--quiet button--small button--icon", "aria-label": "Close this message" }, icon("close"));
  const element = h("div", { class: `notice notice--${kind}` }, icon(pictures[kind]), h("div", {}, text), close);
  close.addEventListener("click", () => element.remove());
  document.getElementById("toasts")?.append(element);
  // Who reads slowly must still reach a button that is in it.
  const time = element.querySelector(".notice > div button, .notice > div a") ? 20_000 : 6000;
  if (kind === "good") setTimeout(() => element.remove(), time);
}

/** Writes a number of bytes, as src/text.rs does. */
export function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let [value, unit] = [number, 0];
  while (value >= 999.5 && unit + 1 < units.length) [value, unit] = [value / 1000, unit + 1];
  return `${unit && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
