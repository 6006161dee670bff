// Sends files to the appliance: small ones several in a form, large ones in pieces, so that one
// that breaks off goes on where it was.

import { api, bytes, toast, token } from "./dom.js";
import { drive } from "./drive.js";

// Larger files are sent in pieces.
const PIECE = 8 << 20;
// Below it, how far a file is is not worth an event.
const QUICK = 256 << 10;
let inPieces = true;

// Why something was not taken; `again` is in how many milliseconds it may be.
class Refusal extends Error {
  constructor(status, { code, message } = {}, again = undefined) {
    super(message ?? (status ? `the appliance answered ${status}` : "the connection was lost"));
    Object.assign(this, { status, code, again: again > 0 ? again * 1000 : undefined });
  }
}

function refusalOf(request) {
  const told = (name) => Number(request.getResponseHeader(name) ?? NaN);
  const refusal = new Refusal(request.status, parse(request.responseText)?.error, told("retry-after"));
  return Object.assign(refusal, { offset: told("upload-offset") });
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// Makes a request whose progress can be seen; `heard` is told how many bytes are sent.
function request(stop, { method = "POST", path, body, headers = {}, heard }) {
  return new Promise((resolve, reject) => {
    const it = new XMLHttpRequest();
    it.open(method, `/ui/api${path}`);
    it.setRequestHeader("X-CSRF-Token", token());
    for (const [name, value] of Object.entries(headers)) it.setRequestHeader(name, value);
    if (heard) it.upload.onprogress = (event) => heard(event.loaded);
    const abort = () => it.abort();
    stop.addEventListener("abort", abort);
    it.onloadend = () => {
      stop.removeEventListener("abort", abort);
      if (it.status >= 200 && it.status < 300) resolve({ ...parse(it.responseText), offset: it.getResponseHeader("upload-offset") });
      else reject(refusalOf(it));
    };
    it.send(body);
  });
}

const owned = (path, job) => `${path}?owner=${encodeURIComponent(job.owner)}`;

function form(jobs) {
  const form = new FormData();
  for (const job of jobs) {
    form.append("path", job.path);
    form.append("file", job.file, "file");
  }
  return form;
}

/** Sends one file, or a folder, where its file is null; `stop` ends it, `heard` is told how far it is. */
export function one(job, stop, heard) {
  return job.size > PIECE ? large(job, stop, heard) : small(job, stop, heard);
}

/** Sends several small files of one owner in one form; returns what became of each, in order. */
export async function several({ jobs, size }, stop, heard) {
  const order = { path: owned("/acquit/items", jobs[0]), body: form(jobs), heard: size > QUICK ? heard : undefined };
  const { data } = await request(stop, order);
  return jobs.map(({ path }, at) => {
    const it = data?.[at];
    if (it?.path === path && it.data) return it;
    return new Refusal(it?.status, it?.error ?? { message: "the appliance does not say what became of it: try it again" }, it?.retry_after);
  });
}

/** Says why a file cannot be sent at all, if it is so: it was changed or removed since it was brought. */
export async function unreadable({ file }) {
  try {
    await file?.slice(0, 1).arrayBuffer();
    return undefined;
  } catch {
    return new Refusal(undefined, { message: "it cannot be read any more: it was changed or removed. Bring it again" });
  }
}

function small(job, stop, heard, path = owned("/monitor/items", job)) {
  // A form without a file is read as a short one.
  const body = job.file ? form([job]) : new URLSearchParams([["path", job.path]]);
  return request(stop, { path, body, heard: job.size > QUICK ? heard : undefined });
}

async function large(job, stop, heard) {
  if (inPieces) {
    try {
      return await pieces(job, stop, heard);
    } catch (error) {
      if (!error.isUnknown) throw error;
      inPieces = false;
    }
  }
  // An upload URL takes files of any size, once.
  const url = await request(stop, { method: "GET", path: owned("/monitor/items/upload_url", job) });
  return small(job, stop, heard, new URL(url.data).pathname.replace("/api/v3", ""));
}

// --- files in pieces: a session knows how much of it has come -----------------------------------

const SESSIONS = "/acquit/upload_sessions";
const KEPT = "acquit_upload ";
const keyOf = (job) => `${KEPT}${job.owner} ${job.path} ${job.size} ${job.file.lastModified}`;
const offsetOf = (answer) => Number(answer.data?.attributes?.offset ?? answer.offset ?? 0);
const placeOf = (id) => `${SESSIONS}/${encodeURIComponent(id)}`;

// A session outlives the page: the same file, given again, goes on where it was.
async function session(job, stop) {
  const known = localStorage.getItem(keyOf(job));
  if (known) {
    try {
      return { id: known, offset: offsetOf(await request(stop, { method: "GET", path: placeOf(known) })) };
    } catch (error) {
      if (error.status !== 404) throw error;
      localStorage.removeItem(keyOf(job));
    }
  }
  const order = { path: job.path, size: job.size, owner: job.owner };
  let made;
  try {
    made = await request(stop, { path: owned(SESSIONS, job), body: JSON.stringify(order), headers: { "Content-Type": "application/json" } });
  } catch (error) {
    error.isUnknown = error.status === 404 || error.status === 405;
    throw error;
  }
  localStorage.setItem(keyOf(job), made.data.id);
  // Given up meanwhile: nobody else would end it.
  job.session = made.data.id;
  if (stop.aborted) drop(job);
  return { id: made.data.id, offset: offsetOf(made) };
}

/** Says which files broke off in the middle when this page was left, and forgets what is gone. */
export async function broken() {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(KEPT));
  if (keys.length === 0) return;
  const open = await api(SESSIONS).catch(() => undefined);
  if (!open) return;
  const sessions = new Map(open.data.map((it) => [it.id, it.attributes]));
  for (const key of keys) {
    const it = sessions.get(localStorage.getItem(key));
    if (!it) localStorage.removeItem(key);
    else if (it.owner === drive().dataset.owner) toast(`${it.path} has come as far as ${bytes(it.offset)} of ${bytes(it.size)}. Bring the file again, and it goes on from there.`, "warn");
  }
}

/** Ends what has come of a file that was given up, if anything has. */
export function drop(job) {
  if (!job.session) return;
  localStorage.removeItem(keyOf(job));
  const gone = fetch(`/ui/api${placeOf(job.session)}`, { method: "DELETE", headers: { "X-CSRF-Token": token() } });
  gone.catch(() => undefined);
}

// A piece that came although nobody heard of it puts the next one elsewhere: it is asked where.
async function piece(stop, order) {
  try {
    return await request(stop, order);
  } catch (error) {
    const isElsewhere = error.offset >= 0 && error.offset !== Number(order.headers["Upload-Offset"]);
    if (error.status === 409 && isElsewhere) error.again ??= 200;
    throw error;
  }
}

async function pieces(job, stop, heard) {
  const it = await session(job, stop);
  job.session = it.id;
  let { offset } = it;
  for (;;) {
    const begin = offset;
    const body = job.file.slice(begin, begin + PIECE);
    const headers = { "Content-Type": "application/octet-stream", "Upload-Offset": String(begin) };
    const answer = await piece(stop, { method: "PATCH", path: placeOf(it.id), body, headers, heard: (some) => heard(begin + some) });
    offset = offsetOf(answer) || begin + body.size;
    heard(offset, true);
    if (answer.data?.attributes?.sha256 || offset >= job.size) {
      localStorage.removeItem(keyOf(job));
      return answer;
    }
  }
}
