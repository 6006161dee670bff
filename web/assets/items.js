// What an engine printed comes when it is looked at.

import { h, visible, icon } from "./dom.js";

/** Reads an output of an engine as text. */
async function read(path) {
  const response = await fetch(`/ui/api${path}`);
  const text = await response.text();
  if (response.ok) return { text, staged: response.headers.get("x-acquit-staged-name") };
  let message = response.statusText;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // No answer of the API: its status has to do.
  }
  throw new Error(message);
}

async function fill(details) {
  details.dataset.filled = "";
  const place = h("div", { class: "stack stack--tight", role: "status" }, "Reading…");
  details.append(place);
  try {
    const { text, staged } = await read(details.dataset.raw);
    place.replaceChildren(
      ...(staged ? [h("p", { class: "muted small" }, "The engine saw this file as ", h("code", {}, staged), ".")] : []),
      h("pre", { class: "code", tabindex: "0" }, visible(text) || "(nothing)"),
    );
  } catch (error) {
    place.replaceChildren(h("p", { class: "row muted" }, icon("failed"), error.message));
    delete details.dataset.filled;
  }
}

// The event does not bubble, and a region may be another one after a look.
document.addEventListener("toggle", (event) => {
  const details = event.target;
  if (details.matches?.("details[data-raw]") && details.open && !("filled" in details.dataset)) fill(details);
}, true);

document.addEventListener("click", (event) => {
  const asked = event.target.closest?.("a[data-warn]");
  if (asked && !confirm(asked.dataset.warn)) event.preventDefault();
});
