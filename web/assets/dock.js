// How far uploads are: a few rows, however many files there are, drawn once a frame at most.

import { bytes, h, icon, visible } from "./dom.js";
import { current } from "./choice.js";
import { nameOf, say } from "./drive.js";
import { again, cancel, isBusy, running, totals } from "./queue.js";

// Failures that are shown one by one.
const SHOWN = 50;

let dock;
let drawn = false;
let began;
let speed = 0;
let last = { at: 0, sent: 0 };
const failures = [];

const number = new Intl.NumberFormat();

/** Something has changed: it is drawn with the next frame. */
export function changed() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    draw();
  });
}

/** A file could not be uploaded. */
export function failed(job, message) {
  failures.push({ job, message });
  changed();
}

/** Nothing more is sent, and why. */
export function refused(message) {
  say(`The upload stopped: ${message}`);
  show().stopped.textContent = visible(`The upload stopped: ${message}`);
}

function show() {
  if (dock) return dock;
  const button = (name, act) => h("button", { type: "button", class: "button button--small", onclick: act }, name);
  const parts = {
    title: h("strong", { class: "grow" }),
    cancel: button("Cancel", giveUp),
    retry: button("Try again", retry),
    close: h("button", { type: "button", class: "button button--quiet button--small button--icon", "aria-label": "Close the uploads", onclick: close }, icon("close")),
    whole: h("progress", { max: 1, value: 0, "aria-label": "All uploads" }),
    pace: h("span", { class: "muted small" }),
    stopped: h("span", { class: "error small" }),
    active: h("ul", { "aria-label": "Uploading now" }),
    failed: h("ul", { "aria-label": "Not uploaded", tabindex: 0 }),
    slots: [],
    failures: 0,
  };
  const head = h("div", { class: "row" }, parts.title, parts.cancel, parts.retry, parts.close);
  parts.element = h("section", { class: "dock", "aria-label": "Uploads" }, head, parts.whole, parts.pace, parts.stopped, parts.active, parts.failed);
  document.body.append(parts.element);
  document.body.classList.add("has-dock");
  dock = parts;
  began = performance.now();
  last = { at: began, sent: totals.sent };
  speed = 0;
  say(`Uploading ${totals.files} files. Files whose names are there already become new versions.`);
  return dock;
}

function giveUp() {
  const count = cancel();
  say(count === 1 ? "1 upload is cancelled" : `${count} uploads are cancelled`);
  leave();
}

// A button that goes while the keyboard is at it leaves the keyboard nowhere.
function leave() {
  if (dock?.element.contains(document.activeElement)) (current() ?? document.getElementById("main")).focus({ preventScroll: true });
}

function close() {
  leave();
  dock?.element.remove();
  document.body.classList.remove("has-dock");
  dock = undefined;
  failures.length = 0;
}

function retry() {
  const jobs = failures.splice(0).map((it) => it.job);
  dock.failed.replaceChildren();
  dock.failures = 0;
  dock.stopped.textContent = "";
  again(jobs);
  leave();
}

function draw() {
  if (!isBusy() && totals.files === 0 && failures.length === 0) return close();
  const it = show();
  const busy = isBusy();
  text(it.title, title(busy));
  text(it.pace, busy ? pace() : summary());
  it.whole.value = totals.bytes > 0 ? totals.sent / totals.bytes : totals.done / Math.max(totals.files, 1);
  it.whole.hidden = !busy;
  it.cancel.hidden = !busy;
  it.close.hidden = busy;
  it.retry.hidden = busy || failures.length === 0;
  slots(it);
  it.failed.hidden = failures.length === 0;
  for (; it.failures < Math.min(failures.length, SHOWN); it.failures += 1) {
    const { job, message } = failures[it.failures];
    it.failed.append(h("li", {}, h("span", { class: "truncate", title: job.path }, nameOf(job.path)), icon("failed"), h("span", { class: "error" }, message)));
  }
  if (!busy && it.wasBusy) say(`${it.title.textContent}. ${it.pace.textContent}`);
  it.wasBusy = busy;
}

function text(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

function title(busy) {
  const [done, all] = [number.format(totals.done), number.format(totals.files)];
  if (busy) return `Uploading ${done} of ${all}`;
  return totals.failed > 0 ? `${done} of ${all} uploaded` : `${done} uploaded`;
}

function pace() {
  const now = performance.now();
  const seconds = (now - last.at) / 1000;
  if (seconds > 0.8) {
    const current = Math.max(0, totals.sent - last.sent) / seconds;
    speed = speed === 0 ? current : 0.7 * speed + 0.3 * current;
    last = { at: now, sent: totals.sent };
  }
  const left = totals.bytes - totals.sent;
  const files = (totals.done + 1) / ((now - began) / 1000);
  const time = Math.max(left / (speed || Infinity), (totals.files - totals.done - totals.failed) / files);
  const amount = `${bytes(totals.sent)} of ${bytes(totals.bytes)}`;
  if (now - began < 1500 || !Number.isFinite(time)) return amount;
  return `${amount} · ${bytes(speed)}/s · ${span(time)} left`;
}

function span(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

function summary() {
  const parts = [bytes(totals.sent)];
  if (totals.versions > 0) parts.push(totals.versions === 1 ? "1 is a new version" : `${number.format(totals.versions)} are new versions`);
  if (totals.failed > 0) parts.push(`${number.format(totals.failed)} failed`);
  else if (totals.done > 0) parts.push("engines look at them now");
  return parts.join(" · ");
}

// As many rows as there are connections: they are used again and again.
function slots(it) {
  const loads = [...running()].filter((load) => load.jobs.length > 0);
  while (it.slots.length < loads.length) it.slots.push(slot(it.active));
  for (const [at, row] of it.slots.entries()) {
    const load = loads[at];
    row.element.hidden = !load;
    if (!load) continue;
    const name = nameOfLoad(load);
    if (row.called !== name) {
      row.called = name;
      text(row.name, name);
      row.bar.setAttribute("aria-label", name);
    }
    text(row.state, load.state || (load.size > 0 ? `${Math.floor((100 * load.sent) / load.size)} %` : ""));
    row.bar.value = load.size > 0 ? load.sent / load.size : 0;
  }
}

function nameOfLoad({ jobs }) {
  const name = visible(nameOf(jobs[0].path));
  if (jobs.length === 1) return name;
  return jobs.length === 2 ? `${name} and one more` : `${name} and ${jobs.length - 1} more`;
}

function slot(parent) {
  const row = { name: h("span", { class: "truncate" }), state: h("span", { class: "muted" }), bar: h("progress", { max: 1, value: 0 }) };
  row.element = h("li", {}, row.name, row.state, row.bar);
  parent.append(row.element);
  return row;
}
