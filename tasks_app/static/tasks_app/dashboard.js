/* The overview keeps itself fresh: as often as the reader chose, not in a hidden tab. An unchanged
   piece is answered with 204, and stays as it is. */
"use strict";
(() => {
  const KEY = "sc-refresh", USUAL = 2, REST = 15;
  const page = document.querySelector(".sd-page");
  if (!page) return;
  const piece = (name) => document.getElementById(`sd-${name}`);
  const ask = (name) => { if (piece(name)) htmx.trigger(piece(name), "sc:tick"); };
  const seconds = () => {
    let chosen = null;
    try { chosen = localStorage.getItem(KEY); } catch { /* a browser that keeps nothing */ }
    const number = chosen === null || chosen === "" ? USUAL : Number(chosen);
    return Number.isFinite(number) && number >= 0 ? number : USUAL;
  };

  let timer = 0, rested = Date.now();
  const tick = () => {
    if (document.hidden) return;
    ask("live");
    if (Date.now() - rested >= REST * 1000) { rested = Date.now(); ask("overview"); }
  };
  const wind = () => {
    clearInterval(timer);
    timer = 0;
    if (seconds() && !document.hidden) timer = setInterval(tick, seconds() * 1000);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden && seconds()) tick(); wind(); });
  window.addEventListener("storage", (event) => { if (event.key === KEY) wind(); });
  window.addEventListener("sc-refresh", wind);
  document.body.addEventListener("sd:turned", () => { rested = Date.now(); ask("overview"); });

  /* ---- what becomes of an answer */
  const lost = document.getElementById("sd-lost"), said = document.getElementById("sd-said");
  const ours = (event) => event.detail.elt && event.detail.elt.classList.contains("sd-piece");
  page.addEventListener("htmx:beforeSwap", (event) => {
    if (new URL(event.detail.xhr.responseURL || location.href).pathname.endsWith("/login/")) {
      event.detail.shouldSwap = false;
      location.reload();
    }
  });
  page.addEventListener("htmx:afterRequest", (event) => {
    if (ours(event)) lost.hidden = event.detail.xhr.status > 0 && event.detail.xhr.status < 500;
  });
  let state = piece("live") && piece("live").dataset.state, focused = null;
  page.addEventListener("htmx:beforeSwap", () => {
    const runs = [...page.querySelectorAll(".sd-run")];
    focused = runs.includes(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  });
  page.addEventListener("htmx:afterSettle", () => {
    const now = piece("live");
    if (now && now.dataset.state !== state) {
      state = now.dataset.state;
      const told = ["#sd-headline", ".sc-label", ".sd-counted"].map((one) => now.querySelector(one)?.lastChild.textContent.trim());
      said.textContent = told.filter(Boolean).join(": ");
    }
    rove();
  });

  /* ---- the strip: one tab stop, arrows within */
  const rove = () => {
    const runs = [...page.querySelectorAll(".sd-run")];
    const last = runs.find((run) => run.getAttribute("href") === focused) || runs.at(-1);
    for (const run of runs) run.tabIndex = run === last ? 0 : -1;
    if (focused && last) last.focus({ preventScroll: true });
    focused = null;
  };
  page.addEventListener("keydown", (event) => {
    const runs = [...page.querySelectorAll(".sd-run")], at = runs.indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: runs.length - 1 }[event.key];
    if (at < 0 || to === undefined || !runs[to]) return;
    event.preventDefault();
    runs[at].tabIndex = -1;
    runs[to].tabIndex = 0;
    runs[to].focus();
  });

  rove();
  wind();
})();
