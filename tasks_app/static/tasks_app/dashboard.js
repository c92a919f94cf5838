/* The overview: its two parts refresh themselves, and the strip of runs is one tab stop with arrow keys. */

import { Refresher, swap } from "./refresh.js";

const OVERVIEW_SECONDS = 15; // the lower part changes slowly and costs the server more
const byId = (id) => document.getElementById(id);
const runs = () => [...document.querySelectorAll(".sd-run")];
const hidden = new Set(); // states of runs that the legend fades
let state = byId("sd-live").dataset.state;

function showTask({ html, state: newState }) {
  swap(byId("sd-live"), html);
  if (newState === state) return;
  state = newState; // another task, or another status: the overview is out of date, too
  const texts = ["#sd-headline", ".sc-label", ".sd-counted"]
    .map((selector) => byId("sd-live").querySelector(selector)?.lastChild.textContent.trim());
  byId("sd-said").textContent = texts.filter(Boolean).join(": ");
  refreshers[1].poll();
}

function showOverview({ html }) {
  swap(byId("sd-overview"), html);
  setTabStop();
  fadeRuns();
}

/** Shows which categories the legend has switched off; a refresh brings them all back. */
function fadeRuns() {
  for (const key of document.querySelectorAll(".sd-legend [data-state]")) {
    key.setAttribute("aria-pressed", String(!hidden.has(key.dataset.state)));
  }
  for (const run of runs()) {
    run.classList.toggle("sd-off", [...hidden].some((name) => run.classList.contains(`sd-${name}`)));
  }
}

function pressLegend(event) {
  const name = event.target.closest(".sd-legend [data-state]")?.dataset.state;
  if (!name) return;
  if (!hidden.delete(name)) hidden.add(name);
  fadeRuns();
}

function showConnection(newState) {
  if (newState.kind === "signed_out") window.location.reload();
  byId("sd-lost").hidden = !refreshers.some((refresher) => ["lost", "failing"].includes(refresher.state?.kind));
}

/** The last run is the strip's tab stop, or the one that has the focus. */
function setTabStop() {
  const stop = runs().find((run) => run === document.activeElement) ?? runs().at(-1);
  for (const run of runs()) run.tabIndex = run === stop ? 0 : -1;
}

function moveAlongRuns(event) {
  const all = runs();
  const at = all.indexOf(document.activeElement);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[event.key];
  if (at < 0 || !all[to]) return;
  event.preventDefault();
  all[to].focus();
  setTabStop();
}

const refreshers = [
  ["sd-live", { onData: showTask }],
  ["sd-overview", { onData: showOverview, atLeast: OVERVIEW_SECONDS }],
].map(([id, options]) => {
  const { url, etag } = byId(id).dataset;
  return new Refresher({ address: () => url, etag, onState: showConnection, ...options });
});
document.addEventListener("keydown", moveAlongRuns);
document.addEventListener("click", pressLegend);
setTabStop();
for (const refresher of refreshers) refresher.resume();
