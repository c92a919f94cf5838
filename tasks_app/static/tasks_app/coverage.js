/* The heat map of the coverage page: says what is missing in a cell, and lets an area be marked by dragging, by two
   clicks or by Shift and the arrow keys. The area fills in the form below, whose cost the server tells. */
"use strict";
(() => {
  const table = document.getElementById("hm-table"), hint = document.getElementById("hm-hint");
  if (!table) return;
  const rows = [...table.tBodies[0].rows], cellsOf = (row) => [...row.cells].slice(1);
  const grid = rows.map(cellsOf), months = [...table.querySelectorAll("[data-month]")].map((th) => th.dataset.month);
  const place = new Map(grid.flatMap((cells, y) => cells.map((cell, x) => [cell, { x, y }])));
  const form = document.getElementById("hm-form");
  let anchor = null, end = null, dragged = false, timer = 0, asked = 0;
  let isOpen = false; /* the first cell was clicked, and the last one not yet */

  grid[0][0].tabIndex = 0;
  const box = table.parentElement, [first, second] = table.querySelectorAll("[data-month]");
  const align = () => { /* behind the column of heads begins a whole month, also at the end, which is shown first */
    const head = first.offsetLeft - table.offsetLeft;
    box.style.setProperty("--hm-head", `${head}px`);
    table.style.borderRight = "";
    if (second && table.offsetWidth > box.clientWidth) {
      const rest = (box.clientWidth - head) % (second.offsetLeft - first.offsetLeft);
      table.style.borderRight = `${rest}px solid transparent`;
    }
    box.scrollLeft = table.scrollWidth;
  };
  align();
  document.fonts.ready.then(align); /* which makes the heads narrower or wider */
  addEventListener("resize", align);
  if (form) table.dataset.marks = "";
  const keys = [...document.querySelectorAll(".hm-legend [data-shade]")]; /* a pressed one's cells are shown */
  for (const key of keys) key.addEventListener("click", () => {
    key.setAttribute("aria-pressed", String(key.getAttribute("aria-pressed") !== "true"));
    const off = keys.filter((each) => each.getAttribute("aria-pressed") === "false");
    table.dataset.off = off.map((each) => each.dataset.shade.split("hm-").at(-1)).join(" ");
  });
  const tell = (cell) => { hint.textContent = cell.title; };

  const mark = () => {
    for (const [cell, { x, y }] of place) {
      const isIn = anchor && x >= Math.min(anchor.x, end.x) && x <= Math.max(anchor.x, end.x)
        && y >= Math.min(anchor.y, end.y) && y <= Math.max(anchor.y, end.y);
      if (isIn) cell.setAttribute("aria-selected", "true");
      else cell.removeAttribute("aria-selected");
    }
    if (!anchor) return;
    const keys = rows.slice(Math.min(anchor.y, end.y), Math.max(anchor.y, end.y) + 1).map((row) => row.dataset.key);
    form.elements.since.value = months[Math.min(anchor.x, end.x)];
    form.elements.until.value = months[Math.max(anchor.x, end.x)];
    const isOfStocks = "stocks" in table.dataset;
    form.elements.codes.value = isOfStocks ? keys.join(" ") : "";
    for (const box of form.querySelectorAll("[name=boards]")) box.checked = !isOfStocks && keys.includes(box.value);
    ask();
  };

  const ask = () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const number = ++asked, body = new FormData(form);
      body.set("part", "1");
      const response = await fetch(location.href, { method: "POST", body });
      if (response.ok && number === asked) document.getElementById("hm-answer").innerHTML = await response.text();
    }, 300);
  };

  const focus = (cell) => {
    for (const old of table.querySelectorAll('td[tabindex="0"]')) old.tabIndex = -1;
    cell.tabIndex = 0;
    cell.focus({ preventScroll: false });
  };

  table.addEventListener("focusin", (event) => { if (place.has(event.target)) tell(event.target); });
  table.addEventListener("pointerover", (event) => {
    const at = place.get(event.target);
    if (!at) return;
    tell(event.target);
    if (form && anchor && dragged !== null && event.buttons === 1 && event.pointerType === "mouse") {
      dragged = true;
      isOpen = false; /* no click follows that ends on another cell */
      end = at;
      mark();
    }
  });
  if (form) {
    table.addEventListener("pointerdown", (event) => {
      const at = place.get(event.target);
      if (!at || event.button !== 0) return;
      dragged = false;
      if (event.shiftKey && anchor) end = at;
      else if (isOpen) { end = at; isOpen = false; }
      else { anchor = end = at; isOpen = true; }
      if (event.pointerType === "mouse") mark();
    });
    table.addEventListener("click", (event) => {
      if (!place.has(event.target)) return;
      focus(event.target);
      mark();
    });
    for (const name of ["input", "change"]) form.addEventListener(name, ask);
  }
  table.addEventListener("keydown", (event) => {
    const at = place.get(event.target);
    if (!at) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-at.x, 0],
      End: [months.length, 0] }[event.key];
    if (step) {
      event.preventDefault();
      const x = Math.min(months.length - 1, Math.max(0, at.x + step[0]));
      const y = Math.min(grid.length - 1, Math.max(0, at.y + step[1]));
      if (form && event.shiftKey) {
        if (!anchor || end.x !== at.x || end.y !== at.y) anchor = at; /* another area, from where one is */
        end = { x, y };
        mark();
      }
      focus(grid[y][x]);
    } else if (form && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      anchor = end = at;
      mark();
    } else if (event.key === "Escape") {
      anchor = end = null;
      if (form) mark();
    }
  });
})();
