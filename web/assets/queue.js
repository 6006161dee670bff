// Uploads, a few at a time: what breaks off is sent again by itself.

import { changed, failed, refused } from "./dock.js";
import { drive, pathOf, refreshSoon } from "./drive.js";
import { drop, one, several, unreadable } from "./send.js";

// A browser has six connections for one server; one is for what is heard of it.
const AT_ONCE = 5;
// Small files go several in a form: a request costs more than they do. Proxies take a megabyte.
const SMALL = 64 << 10;
const FORM_FILES = 32;
const FORM_BYTES = 512 << 10;
const TRIES = 60;
const LONGEST = 30_000;

const waiting = [];
const active = new Set();
let next = 0;
// How many folders are being read now, and whether what is found in them was given up.
let gathering = 0;
let givenUp = false;

/** What was sent, for who shows it. */
export const totals = { files: 0, done: 0, failed: 0, bytes: 0, sent: 0, versions: 0 };

/** Whether anything is still to be sent. */
export const isBusy = () => gathering > 0 || active.size > 0 || next < waiting.length;

/** What is being sent now: loads of a file each, or of several. */
export const running = () => active;

/** Puts a file, or an empty folder, where file is null, at the end of the queue. */
export function add(order) {
  if (givenUp) return;
  if (!isBusy()) forget();
  put(order);
}

/** Takes all that is brought until `bring` is through as one, however fast some of it is sent. */
export async function together(bring) {
  if (!isBusy()) forget();
  gathering += 1;
  try {
    await bring();
  } finally {
    gathering -= 1;
    if (gathering === 0) givenUp = false;
    changed();
  }
}

function put({ owner, path, file }) {
  const job = { owner, path, file, size: file?.size ?? 0 };
  waiting.push(job);
  totals.files += 1;
  totals.bytes += job.size;
  changed();
  queueMicrotask(pump);
}

function forget() {
  waiting.length = next = 0;
  for (const name of Object.keys(totals)) totals[name] = 0;
}

function pump() {
  while (active.size < AT_ONCE && next < waiting.length) {
    const jobs = take();
    const load = { jobs, size: sizeOf(jobs), sent: 0, tries: 0, state: "", stop: new AbortController() };
    active.add(load);
    run(load).finally(() => {
      active.delete(load);
      changed();
      pump();
      // What is used now is beside the rows.
      if (!isBusy()) refreshSoon(400, true);
    });
  }
}

const sizeOf = (jobs) => jobs.reduce((size, job) => size + job.size, 0);
const isSmall = (job) => job.file !== null && job.size <= SMALL;

/** Takes the next file out of the queue; if it is small, those after it that go with it. */
function take() {
  const jobs = [];
  let size = 0;
  do {
    size += waiting[next].size;
    jobs.push(waiting[next]);
    waiting[next++] = undefined;
  } while (goesWith(jobs, size, waiting[next]));
  return jobs;
}

function goesWith(jobs, size, job) {
  if (!job || !isSmall(job) || !isSmall(jobs[0]) || job.owner !== jobs[0].owner) return false;
  return jobs.length < FORM_FILES && size + job.size <= FORM_BYTES && jobs.every((it) => it.path !== job.path);
}

async function run(load) {
  for (;;) {
    const error = await attempt(load);
    if (!error || load.stop.signal.aborted) return;
    await pause(load, error);
    if (load.stop.signal.aborted) return;
  }
}

/** Sends what is left of a load; returns why some of it is still left, if it may go later. */
async function attempt(load) {
  const jobs = load.jobs;
  const fates = await send(load);
  if (load.stop.signal.aborted) return undefined;
  sent(load, 0);
  load.jobs = [];
  let later;
  for (const [at, job] of jobs.entries()) {
    const fate = fates[at];
    if (!(fate instanceof Error)) {
      finish(job, fate);
    } else if (endsAll(fate)) {
      stopAll(job, fate);
    } else if (passes(fate) && load.tries < TRIES) {
      load.jobs.push(job);
      later = fate;
    } else {
      fail(job, fate.message);
    }
  }
  load.size = sizeOf(load.jobs);
  return later;
}

async function send(load) {
  const [first, ...others] = load.jobs;
  const { signal } = load.stop;
  try {
    const listener = (bytes, isKept) => heard(load, bytes, isKept);
    if (others.length > 0) return await several(load, signal, listener);
    return [await one(first, signal, listener)];
  } catch (error) {
    // What is said of a connection may be true of a file that is not there any more.
    return Promise.all(load.jobs.map(async (job) => (error.status === 0 && (await unreadable(job))) || error));
  }
}

function heard(load, bytes, isKept) {
  sent(load, Math.min(bytes, load.size));
  // It goes on, however often it broke off before.
  if (isKept) load.tries = 0;
}

// Progress is counted up and, when a load begins again, down.
function sent(load, bytes) {
  totals.sent += bytes - load.sent;
  load.sent = bytes;
  changed();
}

function finish(job, answer) {
  totals.sent += job.size;
  totals.done += 1;
  if (answer.meta?.replaced) totals.versions += 1;
  const isHere = drive().dataset.owner === job.owner && job.path.startsWith(pathOf(drive().dataset.folder));
  // One page of rows is read again once in a while, never for each file.
  if (isHere) refreshSoon(isBusy() ? 2500 : 400);
}

function fail(job, message) {
  totals.failed += 1;
  totals.bytes -= job.size;
  failed(job, message);
}

/** Sends what failed again; what was sent before still counts. */
export function again(jobs) {
  totals.failed -= jobs.length;
  totals.files -= jobs.length;
  for (const job of jobs) put(job);
}

/** Gives up what is not sent yet; tells how many files that are. */
export function cancel() {
  const left = waiting.splice(next);
  givenUp = gathering > 0;
  for (const load of active) {
    load.stop.abort();
    load.jobs.forEach(drop);
    sent(load, 0);
    left.push(...load.jobs);
  }
  for (const job of left) {
    totals.files -= 1;
    totals.bytes -= job.size;
  }
  changed();
  return left.length;
}

// Where nothing more fits, nothing more is sent.
function stopAll(job, error) {
  const left = waiting.splice(next);
  fail(job, error.message);
  for (const other of left) fail(other, "not sent: the upload was stopped");
  refused(`${error.message}. ${advice(error)}`);
}

function advice(error) {
  if (error.status === 507) return "Once there is room on its disk again, press Try again.";
  if (error.status === 429) return "Once there is room, press Try again.";
  return "Load this page again, sign in, and bring the files again: large ones go on where they were.";
}

const endsAll = (error) => (error.code === "QuotaExceededError" && !error.again) || error.status === 507 || error.status === 401 || error.code === "CsrfError";
const passes = (error) => [0, 408, 425, 429, 502, 503, 504].includes(error.status) || error.again;

/** Waits longer each time, but no longer than until the network is there again. */
async function pause(load, error) {
  load.tries += 1;
  load.state = error.status === 0 ? "Connection lost: it goes on by itself" : `${error.message}: it is tried again`;
  changed();
  const time = error.again ?? Math.min(LONGEST, 400 * 2 ** Math.min(load.tries, 8)) * (0.75 + Math.random() / 2);
  const { signal } = load.stop;
  await new Promise((resume) => {
    const timer = setTimeout(done, time);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resume();
    }
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
  load.state = "";
}
