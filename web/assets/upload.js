// Files and folders that are dragged onto the page or chosen in its form, with all that is in them.

import { toast } from "./dom.js";
import { mark, targetOf } from "./acts.js";
import { drive, mayWrite, pathOf } from "./drive.js";
import { add, isBusy, together } from "./queue.js";
import { broken } from "./send.js";

/** Whether uploads are under way. */
export const isUploading = isBusy;

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");

// Reads a folder: a browser gives a hundred entries at a time.
async function* inside(folder) {
  const reader = folder.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    yield* some;
  }
}

async function bring(entry, to) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return add({ owner: to.owner, path: `${to.path}${entry.name}`, file });
  }
  let isEmpty = true;
  const folder = { owner: to.owner, path: `${to.path}${entry.name}/` };
  for await (const next of inside(entry)) {
    isEmpty = false;
    await bringSafely(next, folder);
  }
  // A folder with something in it comes with that.
  if (isEmpty) add({ ...folder, file: null });
}

async function bringSafely(entry, to) {
  try {
    await bring(entry, to);
  } catch (error) {
    toast(`${entry.fullPath} cannot be read: ${error.message}`, "bad");
  }
}

const open = () => ({ owner: drive().dataset.owner, path: pathOf(drive().dataset.folder) });

function destination(event) {
  const target = targetOf(event);
  const id = target?.dataset.drop ?? target?.dataset.id;
  return id ? { owner: drive().dataset.owner, path: pathOf(id) } : open();
}

document.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = mayWrite() ? "copy" : "none";
  if (!mayWrite()) return;
  document.body.classList.add("is-dropping");
  mark(targetOf(event));
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("is-dropping");
});
document.addEventListener("drop", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  document.body.classList.remove("is-dropping");
  mark(null);
  if (!mayWrite()) return;
  const to = destination(event);
  // What is dropped is only there until the event is over.
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = entries.length > 0 ? [] : [...event.dataTransfer.files];
  for (const file of files) add({ owner: to.owner, path: `${to.path}${file.name}`, file });
  await together(async () => {
    for (const entry of entries) await bringSafely(entry, to);
  });
});

document.addEventListener("change", (event) => {
  const form = event.target.closest?.("[data-upload]");
  if (!form || event.target.type !== "file") return;
  const to = open();
  for (const file of event.target.files) add({ owner: to.owner, path: `${to.path}${file.webkitRelativePath || file.name}`, file });
  form.reset();
  form.closest("details").open = false;
});

if (mayWrite()) broken();

addEventListener("beforeunload", (event) => {
  if (isBusy()) event.preventDefault();
});
