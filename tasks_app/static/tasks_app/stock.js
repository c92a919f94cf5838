/* The chart of a stock: candlesticks, volume, marks of gaps and corrections, the values of the selected day. */
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const config = JSON.parse(byId("st-config").textContent);
  const box = byId("st-chart"), values = byId("st-values"), announcer = byId("st-said"), ranges = byId("st-ranges");
  const texts = config.words, phone = window.matchMedia("(max-width: 767px)").matches;
  const RANGE_KEY = "sc-stock-range";
  const numbers = new Intl.NumberFormat(config.language, { maximumFractionDigits: 0 });
  const short = new Intl.NumberFormat(config.language, { notation: "compact", maximumFractionDigits: 1 });
  const prices = new Intl.NumberFormat(config.language, { minimumFractionDigits: 2, maximumFractionDigits: 4 });
  const scale = new Intl.NumberFormat(config.language, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

  const dates = new Intl.DateTimeFormat(config.language, { month: "short", day: "numeric", timeZone: "UTC" });

  const iso = (day) => new Date(day * 86400000).toISOString().slice(0, 10);
  const cumulate = (steps) => { let day = 0; return steps.map((step) => (day += step)); };
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--st-${name}`).trim();
  const falling = config.rising === "red" ? "green" : "red";

  /* Returns the days of the chart: sessions with a bar, and those without one, which stay empty. */
  function parse(data) {
    const corrected = new Set(data.corrected), flagged = new Set(data.flagged);
    const codes = new Map(data.codes);
    const bars = cumulate(data.steps).map((day, n) => ({
      time: iso(day), open: data.open[n], high: data.high[n], low: data.low[n], close: data.close[n],
      volume: data.volume[n], amount: data.amount[n], change_pct: data.change_pct[n],
      task: data.by[n] < 0 ? null : data.tasks[data.by[n]],
      corrected: corrected.has(iso(day)), flagged: flagged.has(iso(day)), code: codes.get(iso(day)),
    }));
    const empty = (gap) => cumulate(gap.steps).map((day) => ({ time: iso(day), why: gap.why, open: gap.open }));
    const days = [...bars, ...data.gaps.flatMap(empty)];
    return days.sort((a, b) => (a.time < b.time ? -1 : 1));
  }

  /* Returns a mark for the first day of each gap, and one for each bar that was corrected or flagged, or is the first under another code. */
  function marks(days) {
    const all = [];
    days.forEach((day, n) => {
      const begins = day.why && (n === 0 || days[n - 1].why !== day.why);
      if (begins) all.push({ before: n, text: day.open ? "?" : "–", tone: day.open ? "mark" : "quiet" });
      if (day.corrected) all.push({ at: n, text: "C", tone: "note" });
      if (day.code) all.push({ at: n, text: "⇄", tone: "note" });
      if (day.flagged) all.push({ at: n, text: "!", tone: "mark" });
    });
    return all.map((mark) => ({ ...mark, at: mark.at ?? lastBar(days, mark.before) })).filter((mark) => mark.at >= 0)
      .sort((a, b) => a.at - b.at)
      .map((mark) => ({ time: days[mark.at].time, position: "aboveBar", shape: "circle", size: 0.4, color: color(mark.tone), text: mark.text }));
  }

  function lastBar(days, n) {
    while (n >= 0 && days[n].why) n -= 1;
    return n;
  }

  /* Day labels include the month, because the month's own label is left out where there is no room. */
  function tick(time, kind) {
    return kind === LightweightCharts.TickMarkType.DayOfMonth ? dates.format(new Date(`${time}T00:00:00Z`)) : null;
  }

  function chartOptions() {
    return {
      layout: { background: { color: color("back") }, textColor: color("quiet"), attributionLogo: false, fontFamily: "inherit", panes: { separatorColor: color("grid"), separatorHoverColor: color("grid") } },
      grid: { vertLines: { color: color("grid") }, horzLines: { color: color("grid") } },
      rightPriceScale: { borderColor: color("grid") },
      timeScale: { borderColor: color("grid"), minBarSpacing: 0.05, rightOffset: 2, tickMarkMaxCharacterLength: 6, tickMarkFormatter: tick },
      crosshair: { mode: LightweightCharts.CrosshairMode.Normal },
      handleScroll: { vertTouchDrag: false },
      localization: { locale: config.language, dateFormat: "yyyy-MM-dd" },
    };
  }

  const candleOptions = () => ({
    upColor: "transparent", borderUpColor: color(config.rising), wickUpColor: color(config.rising),
    downColor: color(falling), borderDownColor: color(falling), wickDownColor: color(falling),
    lastValueVisible: true, priceLineVisible: false,
    priceFormat: { type: "custom", minMove: 0.0001, formatter: (price) => scale.format(price) },
  });
  const volumeColor = (day) => color(`${day.close >= day.open ? config.rising : falling}-soft`);
  const asVolume = (day) => (day.why ? { time: day.time } : { time: day.time, value: day.volume, color: volumeColor(day) });
  const asCandle = (day) => (day.why ? { time: day.time } : { time: day.time, open: day.open, high: day.high, low: day.low, close: day.close });

  function pair(name, value) {
    const group = document.createElement("div"), term = document.createElement("dt"), description = document.createElement("dd");
    term.textContent = name;
    term.hidden = !name;
    description.append(value);
    group.append(term, description);
    return group;
  }

  function taskLink(id) {
    const link = document.createElement("a");
    link.href = config.task.replace("0".repeat(32), id);
    link.className = "sc-link sc-mono";
    link.textContent = id.slice(0, 8);
    return link;
  }

  function valuesOf(day) {
    if (day.why) return [[day.time, `${texts.none} ${day.why}`]];
    const signed = day.change_pct === null ? null : `${day.change_pct > 0 ? "+" : ""}${day.change_pct.toFixed(2)}%`;
    return [
      ["", day.time],
      ...["open", "high", "low", "close"].map((name) => [texts[name], prices.format(day[name])]),
      ...(signed === null ? [] : [[texts.change_pct, signed]]),
      [texts.volume, numbers.format(day.volume)],
      ...(day.amount === null ? [] : [[texts.amount, numbers.format(day.amount)]]),
      ...["corrected", "flagged"].filter((note) => day[note]).map((note) => ["", texts[note]]),
      ...(day.code ? [["", day.code]] : []),
    ];
  }

  function show(day, announce) {
    const pairs = valuesOf(day);
    values.replaceChildren(...pairs.map(([name, value]) => pair(name, value)));
    if (day.task) values.append(pair(texts.task, taskLink(day.task)));
    if (announce) announcer.textContent = pairs.map((both) => both.join(" ")).join(", ");
  }

  function draw(days) {
    const chart = LightweightCharts.createChart(box, { autoSize: true, ...chartOptions() });
    const candles = chart.addSeries(LightweightCharts.CandlestickSeries, candleOptions());
    const volume = chart.addSeries(LightweightCharts.HistogramSeries, {
      priceFormat: { type: "custom", minMove: 1, formatter: (count) => short.format(count) }, lastValueVisible: false, priceLineVisible: false,
    }, 1);
    candles.setData(days.map(asCandle));
    volume.setData(days.map(asVolume));
    chart.panes()[1].setHeight(phone ? 70 : 100);
    const markers = LightweightCharts.createSeriesMarkers(candles, marks(days));
    new MutationObserver(() => {
      chart.applyOptions(chartOptions());
      candles.applyOptions(candleOptions());
      volume.setData(days.map(asVolume));
      markers.setMarkers(marks(days));
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    return { chart, candles };
  }

  /* ---- ranges */

  function range(chart, days, months) {
    const last = days[days.length - 1].time, from = new Date(`${last}T00:00:00Z`);
    from.setUTCMonth(from.getUTCMonth() - months);
    const first = months ? Math.max(0, days.findIndex((day) => day.time > from.toISOString().slice(0, 10))) : 0;
    chart.timeScale().setVisibleLogicalRange({ from: first - 0.5, to: days.length + 0.5 });
    for (const button of ranges.children) button.setAttribute("aria-pressed", String(Number(button.dataset.months) === months));
  }

  function offerRanges(chart, days) {
    ranges.hidden = false;
    ranges.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      range(chart, days, Number(button.dataset.months));
      localStorage.setItem(RANGE_KEY, button.dataset.months);
    });
    const isKnown = [...ranges.children].some((button) => button.dataset.months === localStorage.getItem(RANGE_KEY));
    range(chart, days, isKnown ? Number(localStorage.getItem(RANGE_KEY)) : 12);
    const clearRange = () => [...ranges.children].forEach((button) => button.setAttribute("aria-pressed", "false"));
    box.addEventListener("wheel", clearRange, { passive: true });
    box.addEventListener("pointermove", (event) => { if (event.buttons) clearRange(); });
  }

  /* ---- the selected day: by pointer, or by arrow keys */

  function follow({ chart, candles }, days) {
    const indexes = new Map(days.map((day, n) => [day.time, n]));
    let current = lastBar(days, days.length - 1);
    show(days[current], false);
    chart.subscribeCrosshairMove((at) => {
      if (!at.time || !indexes.has(at.time) || indexes.get(at.time) === current) return;
      current = indexes.get(at.time);
      show(days[current], false);
    });
    const go = (n) => {
      current = Math.min(days.length - 1, Math.max(0, n));
      const day = days[current], visible = chart.timeScale().getVisibleLogicalRange();
      if (current < visible.from || current > visible.to) {
        const half = (visible.to - visible.from) / 2;
        chart.timeScale().setVisibleLogicalRange({ from: current - half, to: current + half });
      }
      chart.setCrosshairPosition(day.why ? days[lastBar(days, current)]?.close ?? 0 : day.close, day.time, candles);
      show(day, true);
    };
    const zoom = (by) => {
      const visible = chart.timeScale().getVisibleLogicalRange(), middle = (visible.from + visible.to) / 2, half = ((visible.to - visible.from) / 2) * by;
      chart.timeScale().setVisibleLogicalRange({ from: middle - half, to: middle + half });
    };
    const keys = {
      ArrowLeft: () => go(current - 1), ArrowRight: () => go(current + 1), PageUp: () => go(current - 20), PageDown: () => go(current + 20),
      Home: () => go(0), End: () => go(days.length - 1), "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1.4),
    };
    box.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    box.addEventListener("blur", () => chart.clearCrosshairPosition());
  }

  async function start() {
    box.textContent = texts.loading;
    box.setAttribute("aria-busy", "true");
    const response = await fetch(config.data, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(String(response.status));
    const days = parse(await response.json());
    box.textContent = "";
    if (!days.length) return;
    const drawn = draw(days);
    offerRanges(drawn.chart, days);
    follow(drawn, days);
    box.dataset.ready = String(days.length);
  }

  const end = () => box.removeAttribute("aria-busy");
  start().then(end, (error) => {
    end();
    box.hidden = true;
    values.textContent = texts.failed;
    values.setAttribute("role", "alert");
    console.warn(error);
  });
})();
