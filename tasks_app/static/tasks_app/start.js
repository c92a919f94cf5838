/* The start page: updates the estimate at each change, searches stocks, reads the codes of a file.
   Without it the form still works: the server checks the order, estimates it and starts it. */
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const form = byId("ss-form");
  if (!form) return;
  const fields = form.elements, estimate = byId("ss-estimate");
  const term = byId("ss-term"), list = byId("ss-found"), note = byId("ss-found-note");
  const presets = JSON.parse(byId("ss-presets").textContent), presetButtons = [...form.querySelectorAll("button[name=preset]:not([data-codes])")];
  const benchmarks = form.querySelector("button[data-codes]");
  const radios = (name) => [...form.querySelectorAll(`input[name=${name}]`)];
  const splitCodes = (text) => text.split(/[\s,;|，、；]+/).filter(Boolean);
  const debounce = (milliseconds, work) => {
    let timer;
    return () => { clearTimeout(timer); timer = setTimeout(work, milliseconds); };
  };
  const updateEstimate = debounce(350, () => htmx.trigger(estimate, "ss:changed"));

  /* ---- choices that fit together */
  const checkAnEnabledOne = (inputs) => {
    if (inputs.some((input) => input.checked && !input.disabled)) return;
    const first = inputs.find((input) => !input.disabled);
    if (first) first.checked = true;
    else for (const input of inputs) input.checked = false; /* the server says what is missing */
  };
  const labelOf = (input) => input?.closest("label").textContent.trim() ?? "";
  /* says beside a group of choices which of them the source does not offer */
  const explain = (line, inputs) => {
    const names = inputs.filter((input) => input.disabled).map(labelOf).join(document.documentElement.lang.startsWith("zh") ? "、" : ", ");
    line.hidden = !names || !fields.source.value;
    line.textContent = line.hidden ? "" : form.dataset.notOffered.replace("{source}", fields.source.value).replace("{names}", names);
  };
  const updateForm = () => {
    const sources = radios("source"), adjusts = radios("adjust");
    for (const source of sources) {
      const isServed = source.dataset.markets.split(" ").includes(fields.market.value);
      source.disabled = !isServed || "unusable" in source.dataset;
      const why = source.closest("label").querySelector("[data-why]");
      why.hidden = isServed;
      why.textContent = isServed ? "" : form.dataset.notServed.replace("{market}", labelOf(radios("market").find((one) => one.checked)));
    }
    checkAnEnabledOne(sources);
    const served = sources.find((source) => source.checked)?.dataset.adjusts.split(",") ?? adjusts.map((adjust) => adjust.value);
    for (const adjust of adjusts) adjust.disabled = !served.includes(adjust.value);
    checkAnEnabledOne(adjusts);
    explain(byId("ss-adjust-note"), adjusts);
    byId("ss-some").hidden = fields.scope.value !== "some";
    const source = sources.find((one) => one.checked), kinds = radios("kind");
    const hasKinds = source?.dataset.kindMarkets.split(" ").includes(fields.market.value) ?? false;
    for (const kind of kinds) kind.disabled = kind.value !== "stock" && !(hasKinds && source.dataset.kinds.split(" ").includes(kind.value));
    checkAnEnabledOne(kinds);
    explain(byId("ss-kind-note"), kinds);
    fields.verify_sample.disabled = !fields.verify_with.value;
    byId("ss-all").hidden = fields.scope.value !== "all";
    byId("ss-benchmarks").hidden = !(hasKinds && source.dataset.kinds.split(" ").includes("index"));
    for (const button of presetButtons) {
      const [start, end] = presetDates(button);
      button.setAttribute("aria-pressed", fields.start_date.value === start && fields.end_date.value === end);
    }
    const codes = splitCodes(fields.stock_codes.value).length, count = byId("ss-count");
    count.textContent = codes === 0 ? "" : codes === 1 ? count.dataset.one : `${codes.toLocaleString("en")} ${count.dataset.many}`;
  };
  const change = () => { updateForm(); updateEstimate(); };
  const presetDates = (button) => {
    const { starts, today, of_sources: ofSources } = presets.find((preset) => preset.name === button.value);
    return ofSources[fields.source.value] ?? [starts[fields.market.value] ?? starts.CN, today];
  };
  const addCodes = (codes) => {
    fields.stock_codes.value = [...new Set([...splitCodes(fields.stock_codes.value), ...codes])].join(" ");
    change();
  };

  /* ---- the search */
  let matches = [], selected = -1, searches = 0;
  const closeList = () => {
    list.hidden = true;
    selected = -1;
    term.setAttribute("aria-expanded", "false");
    term.removeAttribute("aria-activedescendant");
  };
  const showMatches = ({ stocks, more }) => {
    matches = stocks;
    list.replaceChildren(...stocks.map((stock, n) => {
      const line = document.createElement("li");
      line.id = `ss-found-${n}`;
      line.setAttribute("role", "option");
      line.setAttribute("aria-selected", "false");
      for (const text of [stock.code, stock.name, stock.exchange]) line.appendChild(document.createElement("span")).textContent = text;
      line.addEventListener("pointerdown", (event) => { event.preventDefault(); addStock(stock); });
      return line;
    }));
    list.hidden = !stocks.length;
    selected = -1;
    term.setAttribute("aria-expanded", String(!!stocks.length));
    note.textContent = stocks.length ? (more ? note.dataset.more : "") : note.dataset.none;
  };
  const search = debounce(200, async () => {
    const text = term.value.trim(), number = ++searches;
    if (!text) { closeList(); note.textContent = ""; return; }
    const query = new URLSearchParams({ market: fields.market.value, q: text });
    try {
      const response = await fetch(`${form.dataset.stocksUrl}?${query}`, { headers: { Accept: "application/json" } });
      if (response.ok && number === searches) showMatches(await response.json());
    } catch { closeList(); }
  });
  const select = (step) => {
    if (list.hidden || !matches.length) return;
    selected = (selected + step + matches.length) % matches.length;
    [...list.children].forEach((line, n) => line.setAttribute("aria-selected", String(n === selected)));
    term.setAttribute("aria-activedescendant", list.children[selected].id);
    list.children[selected].scrollIntoView({ block: "nearest" });
  };
  const addStock = (stock) => {
    note.textContent = `${note.dataset.added} ${stock.code} ${stock.name}`;
    term.value = "";
    closeList();
    addCodes([stock.code]);
  };
  term.closest(".ss-search").hidden = false;
  term.addEventListener("input", search);
  term.addEventListener("blur", closeList);
  term.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in steps) { event.preventDefault(); select(selected < 0 && event.key === "ArrowUp" ? 0 : steps[event.key]); }
    else if (event.key === "Escape") { closeList(); }
    else if (event.key === "Enter") { event.preventDefault(); if (!list.hidden && matches.length) addStock(matches[Math.max(selected, 0)]); }
  });

  /* ---- the file */
  const showFileError = (sentence) => {
    const line = document.createElement("p");
    line.className = "ss-error";
    line.textContent = sentence;
    byId("ss-file-errors").replaceChildren(...(sentence ? [line] : []));
  };
  fields.file.hasChangeListener = true; /* the theme's own listener looks for a text field that is not here */
  fields.file.addEventListener("change", async () => {
    const file = fields.file.files[0];
    if (!file) return;
    const body = new FormData();
    body.append("file", file.slice(0, 600000), file.name);
    body.append("csrfmiddlewaretoken", fields.csrfmiddlewaretoken.value);
    try {
      const response = await fetch(form.dataset.fileUrl, { method: "POST", body });
      const { problem, codes } = await response.json();
      showFileError(problem);
      if (problem) return;
      fields.file.value = "";
      addCodes(codes);
    } catch { /* the file stays selected: it goes with the form */ }
  });

  /* ---- changes, presets, submitting */
  form.addEventListener("input", (event) => { if (event.target !== term) change(); });
  for (const button of presetButtons) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      [fields.start_date.value, fields.end_date.value] = presetDates(button);
      change();
    });
  }
  benchmarks.addEventListener("click", (event) => {
    event.preventDefault();
    addCodes(benchmarks.dataset.codes.split(" ").filter(Boolean));
  });
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || button.name !== "start") { event.preventDefault(); updateEstimate(); return; }
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    setTimeout(() => { button.disabled = true; });
  });
  window.addEventListener("pageshow", (event) => {
    delete form.dataset.sent;
    if (event.persisted) updateEstimate();
  });
  /* While another task runs, ask whether it has ended. */
  setInterval(() => { if (!document.hidden && estimate.querySelector("[data-running]")) updateEstimate(); }, 5000);
  updateForm();
})();
