// Functions that page_checks.py calls one at a time. Each returns plain data.

// Returns the styles that may show the focus of an element: its own, its parent's, and those of a following label.
const focusStyle = (element) =>
  [element, element.parentElement, element.nextElementSibling].filter(Boolean).map((e) => {
    const s = getComputedStyle(e);
    return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.borderColor, s.backgroundColor, s.color, s.textDecorationLine].join();
  }).join("|");

// Returns the focused control: its number, the beginning of its HTML, whether the focus and the control are visible.
const focused = () => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const before = window.focusStyles.get(element);
  const box = element.getBoundingClientRect();
  return {
    stop: element.dataset.stop === undefined ? null : Number(element.dataset.stop),
    what: element.outerHTML.replace(/\s+/g, " ").slice(0, 140),
    visible: before === undefined || before !== focusStyle(element),
    onScreen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  };
};

({
  // Returns the visible texts, and the attributes that are read out or shown. Code is left out, and what is marked as
  // not to be translated.
  texts() {
    const excluded = "script, style, code, pre, kbd, .material-symbols-outlined, .sc-mono, [translate=no], [lang=en]:not(html)";
    const texts = new Set([document.title]);
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement;
      if (!parent || parent.closest(excluded)) continue;
      if (!parent.checkVisibility({ visibilityProperty: true })) continue;
      texts.add(walker.currentNode.data.replace(/\s+/g, " ").trim());
    }
    for (const element of document.querySelectorAll("[title], [aria-label], [placeholder], [alt]")) {
      if (element.closest(excluded)) continue;
      for (const name of ["title", "aria-label", "placeholder", "alt"]) texts.add((element.getAttribute(name) || "").trim());
    }
    texts.delete("");
    return [...texts];
  },

  // Returns the lines of the page as they are shown, with the spaces between neighbouring elements.
  lines() {
    return document.body.innerText.split("\n");
  },

  links() {
    return [...document.querySelectorAll("a[href]:not([download])")].map((link) => link.href);
  },

  // Removes the rows of each table that follow the first `count`. A row may have a tbody of its own.
  shortenTables(count) {
    for (const table of document.querySelectorAll("table"))
      for (const row of [...table.querySelectorAll("tbody tr")].slice(count)) row.remove();
  },

  // Returns by how much the page is wider than its window, and the elements that stick out.
  overflow() {
    const wide = document.documentElement.scrollWidth - window.innerWidth;
    if (wide <= 0) return "";
    const scrolls = (element) => {
      for (let e = element.parentElement; e && e !== document.body; e = e.parentElement)
        if (getComputedStyle(e).overflowX !== "visible") return true;
      return false;
    };
    const out = [...document.body.querySelectorAll("*")].filter((e) =>
      e.getBoundingClientRect().right > window.innerWidth + 1 && e.checkVisibility() && !scrolls(e));
    const worst = out.slice(-3).map((e) => `${e.tagName.toLowerCase()}.${e.className} "${(e.textContent || "").trim().slice(0, 30)}"`);
    return `${wide}px too wide: ${worst.join(" | ")}`;
  },

  // Returns the tables that are wider than the card, or the box that cuts or scrolls them. A grid, which the keyboard
  // moves through, may scroll: its heads stay in view.
  cutTables() {
    const isHolder = (element) => element.matches(".sc-card") || getComputedStyle(element).overflowX !== "visible";
    return [...document.querySelectorAll("table:not([role=grid])")].flatMap((table) => {
      if (!table.checkVisibility()) return [];
      let holder = table.parentElement;
      while (holder !== document.body && !isHolder(holder)) holder = holder.parentElement;
      const room = holder.getBoundingClientRect().left + holder.clientLeft + holder.clientWidth - parseFloat(getComputedStyle(holder).paddingRight);
      const over = Math.round(table.getBoundingClientRect().left + table.scrollWidth - room);
      return over > 1 ? [`a table is ${over}px wider than its card: "${table.innerText.trim().slice(0, 30)}"`] : [];
    }).join(" | ");
  },

  // Returns elements that react to the mouse but cannot be reached by keyboard.
  mouseOnly() {
    const reachable = "a[href], button, input, select, textarea, summary, label, [tabindex], option, [contenteditable]";
    const clickable = "[x-on\\:click], [\\@click], [onclick], [hx-get], [hx-post], a:not([href]), [role=button]";
    return [...document.querySelectorAll(clickable)].filter((e) => {
      if (!e.checkVisibility({ visibilityProperty: true }) || e.closest(reachable) || e.querySelector(reachable)) return false;
      const trigger = e.getAttribute("hx-trigger");
      return !(trigger && !/click/.test(trigger));
    }).map((e) => e.outerHTML.slice(0, 160));
  },

  // Returns elements that still move although reduced motion is requested.
  moving() {
    const longest = (list) => Math.max(...list.split(",").map((t) => parseFloat(t) * (t.trim().endsWith("ms") ? 1 : 1000)));
    const moving = [];
    for (const element of document.querySelectorAll("*")) {
      if (!element.checkVisibility()) continue;
      const style = getComputedStyle(element);
      const animated = style.animationName !== "none" && longest(style.animationDuration) > 10;
      if (animated || longest(style.transitionDuration) > 10) moving.push(`${element.tagName.toLowerCase()}.${element.className}`);
    }
    return [...new Set(moving)];
  },

  // Numbers every control that the Tab key should reach, and returns the count. From now on each Tab adds to `tabStops`
  // the control that it led to: its number, the beginning of its HTML, whether the focus and the control are visible;
  // null at the end of the page. Noted in the page, because a call for each of thousands of keys takes ten times as long.
  controls() {
    const all = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
    const groups = new Set();
    let count = 0;
    document.activeElement.blur();
    window.focusStyles = new Map();
    for (const element of document.querySelectorAll(all)) {
      if (element.disabled || element.tabIndex < 0 || element.closest("[inert]")) continue;
      if (!element.checkVisibility({ visibilityProperty: true })) continue;
      let stop = element;
      if (element.type === "radio") { // one stop for the group: the chosen one, if any
        if (groups.has(element.name)) continue;
        groups.add(element.name);
        stop = document.querySelector(`input[type=radio][name="${element.name}"]:checked`) ?? element;
      }
      stop.dataset.stop = count++;
      window.focusStyles.set(stop, focusStyle(stop));
    }
    window.tabStops = [];
    // When the key is released the page has moved the focus, and scrolled to it.
    window.addEventListener("keyup", (event) => { if (event.key === "Tab") window.tabStops.push(focused()); }, true);
    return count;
  },

  // Returns what the Tab keys since the last call have led to.
  tabStops() {
    return window.tabStops.splice(0);
  },
})
