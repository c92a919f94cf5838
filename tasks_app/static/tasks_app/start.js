/* The start page: what it means, said anew at each change; the search for stocks; the file's codes.
   Without it the form still works: it is checked, counted and started by the server. */
"use strict";
(() => {
  const form = document.getElementById("ss-form");
  if (!form) return;
  const codes = form.elements.stock_codes, term = document.getElementById("ss-term");
  const list = document.getElementById("ss-found"), note = document.getElementById("ss-found-note");
  const some = document.getElementById("ss-some"), estimate = document.getElementById("ss-estimate");
  const split = (text) => text.split(/[\s,;|，、；]+/).filter(Boolean);
  const later = (wait, work) => {
    let timer;
    return (...given) => { clearTimeout(timer); timer = setTimeout(() => work(...given), wait); };
  };
  const changed = later(350, () => htmx.trigger(estimate, "ss:changed"));

  /* ---- what fits together */
  const suit = () => {
    const market = form.elements.market.value;
    const sources = [...form.querySelectorAll("input[name=source]")];
    const serves = (source) => source.dataset.markets.split(" ").includes(market);
    for (const source of sources) source.disabled = !serves(source);
    if (!sources.some((s) => s.checked && serves(s))) {
      const first = sources.find(serves);
      if (first) first.checked = true;
    }
    const chosen = sources.find((s) => s.checked);
    const adjusts = chosen ? chosen.dataset.adjusts.split(",") : [];
    const kinds = [...form.querySelectorAll("input[name=adjust]")];
    for (const kind of kinds) kind.disabled = !adjusts.includes(kind.value);
    if (!kinds.some((k) => k.checked && !k.disabled)) {
      const first = kinds.find((k) => !k.disabled);
      if (first) first.checked = true;
    }
    some.hidden = form.elements.scope.value !== "some";
    press();
    count();
  };
  const range = (preset) => [preset.dataset[form.elements.market.value.toLowerCase()] || preset.dataset.start, preset.dataset.end];
  const press = () => {
    for (const preset of form.querySelectorAll("button[name=preset]")) {
      const [start, end] = range(preset);
      preset.setAttribute("aria-pressed", form.elements.start_date.value === start && form.elements.end_date.value === end);
    }
  };
  const count = () => {
    const many = split(codes.value).length, place = document.getElementById("ss-count");
    place.textContent = many === 0 ? "" : many === 1 ? place.dataset.one : `${many.toLocaleString("en")} ${place.dataset.many}`;
  };

  /* ---- the search */
  let found = [], at = -1, asked = 0;
  const close = () => { list.hidden = true; at = -1; term.setAttribute("aria-expanded", "false"); term.removeAttribute("aria-activedescendant"); };
  const show = (stocks, more) => {
    found = stocks;
    list.replaceChildren(...stocks.map((stock, n) => {
      const line = document.createElement("li");
      line.id = `ss-found-${n}`;
      line.setAttribute("role", "option");
      line.setAttribute("aria-selected", "false");
      for (const text of [stock.code, stock.name, stock.exchange]) line.appendChild(document.createElement("span")).textContent = text;
      line.addEventListener("pointerdown", (event) => { event.preventDefault(); add(stock); });
      return line;
    }));
    list.hidden = !stocks.length;
    at = -1;
    term.setAttribute("aria-expanded", String(!!stocks.length));
    note.textContent = stocks.length ? (more ? note.dataset.more : "") : note.dataset.none;
  };
  const search = later(200, async () => {
    const text = term.value.trim(), mine = ++asked;
    if (!text) { close(); note.textContent = ""; return; }
    const query = new URLSearchParams({ market: form.elements.market.value, q: text });
    try {
      const answer = await fetch(`${form.dataset.stocksUrl}?${query}`, { headers: { Accept: "application/json" } });
      if (!answer.ok || mine !== asked) return;
      const { stocks, more } = await answer.json();
      show(stocks, more);
    } catch { close(); }
  });
  const mark = (step) => {
    if (list.hidden || !found.length) return;
    at = (at + step + found.length) % found.length;
    [...list.children].forEach((line, n) => line.setAttribute("aria-selected", String(n === at)));
    term.setAttribute("aria-activedescendant", list.children[at].id);
    list.children[at].scrollIntoView({ block: "nearest" });
  };
  const add = (stock) => {
    const all = split(codes.value);
    if (!all.includes(stock.code)) codes.value = [...all, stock.code].join(" ");
    note.textContent = `${note.dataset.added} ${stock.code} ${stock.name}`;
    term.value = "";
    close();
    suit();
    changed();
  };
  term.closest(".ss-search").hidden = false;
  term.addEventListener("input", search);
  term.addEventListener("blur", close);
  term.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves) { event.preventDefault(); mark(at < 0 && event.key === "ArrowUp" ? 0 : moves[event.key]); }
    else if (event.key === "Escape") { close(); }
    else if (event.key === "Enter") { event.preventDefault(); if (!list.hidden && found.length) add(found[Math.max(at, 0)]); }
  });

  /* ---- the file */
  const complain = (sentence) => {
    const place = document.getElementById("ss-file-errors");
    place.replaceChildren();
    if (!sentence) return;
    const line = place.appendChild(document.createElement("p"));
    line.className = "ss-error";
    line.textContent = sentence;
  };
  form.elements.file.hasChangeListener = true; /* the theme's own listener looks for a text field that is not here */
  form.elements.file.addEventListener("change", async () => {
    const file = form.elements.file.files[0];
    if (!file) return;
    const body = new FormData();
    body.append("file", file.slice(0, 600000), file.name);
    body.append("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    try {
      const answer = await fetch(form.dataset.fileUrl, { method: "POST", body });
      const read = await answer.json();
      if (read.problem) { complain(read.problem); return; }
      complain("");
      codes.value = [...new Set([...split(codes.value), ...read.codes])].join(" ");
      form.elements.file.value = "";
      suit();
      changed();
    } catch { /* the file stays chosen: it goes with the form */ }
  });

  /* ---- changes, presets, the press */
  form.addEventListener("input", (event) => { if (event.target !== term) { suit(); changed(); } });
  for (const preset of form.querySelectorAll("button[name=preset]")) {
    preset.addEventListener("click", (event) => {
      event.preventDefault();
      [form.elements.start_date.value, form.elements.end_date.value] = range(preset);
      suit();
      changed();
    });
  }
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || button.name !== "start") { event.preventDefault(); changed(); return; }
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    setTimeout(() => { button.disabled = true; });
  });
  window.addEventListener("pageshow", (event) => {
    delete form.dataset.sent;
    if (event.persisted) changed();
  });
  /* While another task runs: look whether it has ended. */
  setInterval(() => { if (!document.hidden && estimate.querySelector("[data-running]")) changed(); }, 5000);
  suit();
})();
