/* The task page: what the refresh brings, the ticking times, the stocks' grid, the keys. */

import { Grid } from "./grid.js";
import { Refresher, swap } from "./refresh.js";

const byId = (id) => document.getElementById(id);
const read = (id) => JSON.parse(byId(id).textContent);
const page = byId("sc-task");
const words = read("sc-words");
const numbers = new Intl.NumberFormat("en-US"); // 12,154, as English and Chinese finance both write it
const number = (value) => numbers.format(value);
let pulse = read("sc-begin");
let have = pulse.have;
const watched = !pulse.final; // whoever saw it run hears how it ended
let skew = pulse.now - Date.now();

// ---------------------------------------------------------------- times

const unit = (name, value) => words.units[name].replace("{n}", String(value));

/** Like the server's durations: the two largest units. */
function inWords(seconds) {
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
  const now = Date.now() + skew;
  for (const element of page.querySelectorAll("[data-sc-since]")) {
    element.textContent = inWords((now - pulse[element.dataset.scSince]) / 1000);
  }
  for (const element of page.querySelectorAll("[data-sc-ago]")) {
    const age = inWords((now - pulse[element.dataset.scAgo]) / 1000);
    element.textContent = words.ago.replace("{time}", age);
  }
  told(refresher.state ?? { kind: "ok" });
}

// ---------------------------------------------------------------- parts

function changed(data) {
  pulse = data;
  skew = data.now - Date.now();
  for (const [name, [digest, html]] of Object.entries(data.parts)) {
    swap(document.querySelector(`[data-sc-part="${name}"]`), html);
    keep(name, digest);
  }
  if (data.cells) {
    keep("cells", data.cells[0]);
    grid.set(data.cells[1], data.planned);
  }
  document.title = document.title.replace(/^[^|]*/, `${data.title} `);
  tick();
  if (data.final) refresher.end("final");
}

function keep(name, digest) {
  have = [...have.filter((one) => !one.startsWith(`${name}.`)), `${name}.${digest}`];
}

// ---------------------------------------------------------------- what is known

const age = byId("sc-age");
const problem = byId("sc-state");
const SAID = { final: "final", forbidden: "forbidden", gone: "gone", signed_out: "signed_out", lost: "lost", failing: "failing" };

/** The age of what is shown, each second; and aloud, once each, whatever else is to be said. */
function told(state) {
  const broken = state.kind in SAID;
  age.hidden = broken;
  age.textContent = `${state.kind === "paused" ? `${words.paused} ` : ""}${words.updated.replace("{time}", inWords(refresher.age))}`;
  page.classList.toggle("sc-stale", broken && state.kind !== "final");
  page.classList.toggle("sc-over", state.kind === "final");
  const text = broken ? sentence(state) : "";
  if (state !== shown.state || broken) show(state, text);
}

const shown = { state: null, text: "" };

function show(state, text) {
  const spoken = state.kind !== shown.state?.kind || state.status !== shown.state?.status;
  problem.setAttribute("aria-live", spoken ? "polite" : "off"); // a countdown is not read out each second
  shown.state = state;
  if (shown.text === text) return;
  shown.text = text;
  problem.textContent = text;
  if (state.kind !== "signed_out") return;
  const link = document.createElement("a");
  link.href = window.location.href;
  link.className = "sc-link";
  link.textContent = words.sign_in;
  problem.append(" ", link);
}

function sentence(state) {
  const wait = inWords(Math.ceil(Math.max(0, (refresher.retryAt - performance.now()) / 1000)));
  const text = words[SAID[state.kind]].replace("{time}", inWords(refresher.age)).replace("{status}", state.status);
  if (state.kind === "final") return watched ? `${pulse.said}. ${text}` : text;
  return text.replace("{wait}", wait);
}

// ---------------------------------------------------------------- controls

const every = byId("sc-every");
const grid = new Grid(byId("sc-grid"), { address: page.dataset.stocks, words, number });
const refresher = new Refresher({
  address: () => `${page.dataset.live}?have=${have.join(",")}`,
  changed,
  told: (state) => told(state),
});

function pause() {
  const before = Number(every.dataset.before ?? 5);
  if (refresher.every) every.dataset.before = String(refresher.every);
  refresher.every = refresher.every ? 0 : before;
  every.value = String(refresher.every);
}

every.value = String(refresher.every);
if (!every.value) every.value = "5";
every.addEventListener("change", () => (refresher.every = Number(every.value)));
window.addEventListener("storage", () => (every.value = String(refresher.every)));
byId("sc-now").addEventListener("click", () => refresher.ask());

// ---------------------------------------------------------------- keys

const KEYS = "sc-keys";
const help = byId("sc-keys");
const wanted = byId("sc-keys-on");
const actions = {
  r: () => !refresher.over && refresher.ask(),
  p: () => !refresher.over && pause(),
  g: () => byId("sc-cells").focus(),
  f: () => grid.filter("f"),
  "?": () => help.showModal(),
};

const single = () => localStorage.getItem(KEYS) !== "off"; // speech input types letters: they can be switched off

wanted.setAttribute("aria-pressed", String(single()));
wanted.addEventListener("click", () => {
  localStorage.setItem(KEYS, single() ? "off" : "on");
  wanted.setAttribute("aria-pressed", String(single()));
});
byId("sc-help").addEventListener("click", () => help.showModal());
byId("sc-keys-close").addEventListener("click", () => help.close());
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog, [contenteditable]");
  if (typing || event.altKey || event.ctrlKey || event.metaKey || !single()) return;
  if (!Object.hasOwn(actions, event.key)) return;
  event.preventDefault();
  actions[event.key]();
});

// ---------------------------------------------------------------- begin

grid.set(pulse.cells, pulse.planned);
setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
if (pulse.final) refresher.end("final");
else {
  refresher.etag = pulse.etag;
  refresher.resume();
}
tick();
