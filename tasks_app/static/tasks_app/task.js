/* The task page: live parts, running times, the grid of stocks, keyboard shortcuts. */

import { Grid } from "./grid.js";
import { Refresher, swap } from "./refresh.js";

const byId = (id) => document.getElementById(id);
const readJson = (id) => JSON.parse(byId(id).textContent);
const page = byId("sc-task");
const texts = readJson("sc-words");
const numbers = new Intl.NumberFormat("en-US"); // 12,154, as English and Chinese finance both write it
const number = (value) => numbers.format(value);
let live = readJson("sc-begin");
let versions = live.have; // the digest of each part that the page shows
const sawItRunning = !live.final; // then the end is announced with its result
let clockOffset = live.now - Date.now(); // the server's clock minus this one, in ms

// ---------------------------------------------------------------- times

const unit = (name, value) => texts.units[name].replace("{n}", String(value));

/** Returns a duration as the server writes it: in its two largest units. */
function formatDuration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(whole / 60);
  const hours = Math.floor(whole / 3600);
  const days = Math.floor(whole / 86_400);
  if (days) return `${unit("d", days)} ${unit("h", hours % 24)}`;
  if (hours) return `${unit("h", hours)} ${unit("min", minutes % 60)}`;
  return minutes ? `${unit("min", minutes)} ${unit("s", whole % 60)}` : unit("s", whole);
}

function tick() {
  if (document.hidden) return;
  const now = Date.now() + clockOffset;
  for (const element of page.querySelectorAll("[data-sc-since]")) {
    element.textContent = formatDuration((now - live[element.dataset.scSince]) / 1000);
  }
  for (const element of page.querySelectorAll("[data-sc-ago]")) {
    const age = formatDuration((now - live[element.dataset.scAgo]) / 1000);
    element.textContent = texts.ago.replace("{time}", age);
  }
  showState(refresher.state ?? { kind: "ok" });
}

// ---------------------------------------------------------------- parts

const hiddenSeries = new Set(); // which the chart's legend has switched off

/** Shows which series are switched off; a refresh of the chart brings its keys back as they were. */
function showSeries() {
  for (const key of page.querySelectorAll("[data-sc-series]")) {
    const { scSeries } = key.dataset;
    key.setAttribute("aria-pressed", String(!hiddenSeries.has(scSeries)));
    page.classList.toggle(`sc-no-${scSeries}`, hiddenSeries.has(scSeries));
  }
}

function pressLegend(event) {
  const name = event.target.closest("[data-sc-series]")?.dataset.scSeries;
  if (!name) return;
  if (!hiddenSeries.delete(name)) hiddenSeries.add(name);
  showSeries();
}

function showData(data) {
  live = data;
  clockOffset = data.now - Date.now();
  for (const [name, [digest, html]] of Object.entries(data.parts)) {
    swap(document.querySelector(`[data-sc-part="${name}"]`), html);
    setVersion(name, digest);
  }
  showSeries();
  if (data.cells) {
    setVersion("cells", data.cells[0]);
    grid.set(data.cells[1], data.planned);
  }
  document.title = document.title.replace(/^[^|]*/, `${data.title} `);
  tick();
  if (data.final) refresher.end("final");
}

function setVersion(name, digest) {
  versions = [...versions.filter((version) => !version.startsWith(`${name}.`)), `${name}.${digest}`];
}

// ---------------------------------------------------------------- the state of the refresh

const age = byId("sc-age");
const problem = byId("sc-state");
const PROBLEMS = { final: "final", forbidden: "forbidden", gone: "gone", signed_out: "signed_out", lost: "lost", failing: "failing" };

/** Shows the age of the data each second, or the problem. Screen readers announce each problem once. */
function showState(state) {
  const hasProblem = state.kind in PROBLEMS;
  age.hidden = hasProblem;
  age.textContent = (state.kind === "paused" ? texts.paused : texts.updated).replace("{time}", formatDuration(refresher.age));
  page.classList.toggle("sc-stale", hasProblem && state.kind !== "final");
  page.classList.toggle("sc-over", state.kind === "final");
  const text = hasProblem ? sentence(state) : "";
  if (state !== shown.state || hasProblem) showProblem(state, text);
}

const shown = { state: null, text: "" };

function showProblem(state, text) {
  const isNew = state.kind !== shown.state?.kind || state.status !== shown.state?.status;
  problem.setAttribute("aria-live", isNew ? "polite" : "off"); // a countdown must not be announced each second
  shown.state = state;
  if (shown.text === text) return;
  shown.text = text;
  problem.textContent = text;
  if (state.kind !== "signed_out") return;
  const link = document.createElement("a");
  link.href = window.location.href;
  link.className = "sc-link";
  link.textContent = texts.sign_in;
  problem.append(" ", link);
}

function sentence(state) {
  const wait = formatDuration(Math.ceil(Math.max(0, (refresher.retryAt - performance.now()) / 1000)));
  const text = texts[PROBLEMS[state.kind]].replace("{time}", formatDuration(refresher.age)).replace("{status}", state.status);
  if (state.kind === "final") return sawItRunning ? texts.ended.replace("{progress}", live.said) : text;
  return text.replace("{wait}", wait);
}

// ---------------------------------------------------------------- controls

const every = byId("sc-every");
const grid = new Grid(byId("sc-grid"), { address: page.dataset.stocks, texts, number });
const refresher = new Refresher({
  address: () => `${page.dataset.live}?have=${versions.join(",")}`,
  onData: showData,
  onState: showState,
});

function togglePause() {
  const before = Number(every.dataset.before ?? 5);
  if (refresher.every) every.dataset.before = String(refresher.every);
  refresher.every = refresher.every ? 0 : before;
  every.value = String(refresher.every);
}

every.value = String(refresher.every);
if (!every.value) every.value = "5";
every.addEventListener("change", () => (refresher.every = Number(every.value)));
window.addEventListener("storage", () => (every.value = String(refresher.every)));
byId("sc-now").addEventListener("click", () => refresher.poll());

// ---------------------------------------------------------------- keys

const KEYS = "sc-keys";
const help = byId("sc-keys");
const toggle = byId("sc-keys-on");
const actions = {
  r: () => !refresher.ended && refresher.poll(),
  p: () => !refresher.ended && togglePause(),
  g: () => byId("sc-cells").focus(),
  f: () => grid.filter("f"),
  "?": () => help.showModal(),
};

// Speech input may type single letters, so the shortcuts can be switched off.
const shortcutsOn = () => localStorage.getItem(KEYS) !== "off";

toggle.setAttribute("aria-pressed", String(shortcutsOn()));
toggle.addEventListener("click", () => {
  localStorage.setItem(KEYS, shortcutsOn() ? "off" : "on");
  toggle.setAttribute("aria-pressed", String(shortcutsOn()));
});
byId("sc-help").addEventListener("click", () => help.showModal());
byId("sc-keys-close").addEventListener("click", () => help.close());
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog, [contenteditable]");
  if (typing || event.altKey || event.ctrlKey || event.metaKey || !shortcutsOn()) return;
  if (!Object.hasOwn(actions, event.key)) return;
  event.preventDefault();
  actions[event.key]();
});

// ---------------------------------------------------------------- begin

grid.set(live.cells, live.planned);
setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
page.addEventListener("click", pressLegend);
if (live.final) refresher.end("final");
else {
  refresher.etag = live.etag;
  refresher.resume();
}
tick();
