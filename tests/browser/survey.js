// Asked by survey.py, a function at a time: what each returns is plain data.

// What may show that an element is focused; a box that holds it, or the label of a hidden one, may show it.
const surveyLook = (element) =>
  [element, element.parentElement, element.nextElementSibling].filter(Boolean).map((e) => {
    const s = getComputedStyle(e);
    return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.borderColor, s.backgroundColor, s.color, s.textDecorationLine].join();
  }).join("|");

({
  // What people read: visible texts and the attributes that are read out or shown. Code and what its author
  // marked as not to be translated is left out.
  texts() {
    const untold = "script, style, code, pre, kbd, .material-symbols-outlined, .sc-mono, [translate=no], [lang=en]:not(html)";
    const seen = new Set([document.title]);
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement;
      if (!parent || parent.closest(untold)) continue;
      if (!parent.checkVisibility({ visibilityProperty: true })) continue;
      seen.add(walker.currentNode.data.replace(/\s+/g, " ").trim());
    }
    for (const element of document.querySelectorAll("[title], [aria-label], [placeholder], [alt]")) {
      if (element.closest(untold)) continue;
      for (const name of ["title", "aria-label", "placeholder", "alt"]) seen.add((element.getAttribute(name) || "").trim());
    }
    seen.delete("");
    return [...seen];
  },

  links() {
    return [...document.querySelectorAll("a[href]:not([download])")].map((link) => link.href);
  },

  // How far the page is wider than its window, and what sticks out.
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

  // Things that react to a mouse, but that no keyboard reaches.
  mouseOnly() {
    const reachable = "a[href], button, input, select, textarea, summary, label, [tabindex], option, [contenteditable]";
    const clickable = "[x-on\\:click], [\\@click], [onclick], [hx-get], [hx-post], a:not([href]), [role=button]";
    return [...document.querySelectorAll(clickable)].filter((e) => {
      if (!e.checkVisibility({ visibilityProperty: true }) || e.closest(reachable) || e.querySelector(reachable)) return false;
      const trigger = e.getAttribute("hx-trigger");
      return !(trigger && !/click/.test(trigger));
    }).map((e) => e.outerHTML.slice(0, 160));
  },

  // Animations and transitions that somebody who asked for less motion would still see.
  moving() {
    const longest = (list) => Math.max(...list.split(",").map((t) => parseFloat(t) * (t.trim().endsWith("ms") ? 1 : 1000)));
    const still = [];
    for (const element of document.querySelectorAll("*")) {
      if (!element.checkVisibility()) continue;
      const style = getComputedStyle(element);
      const animated = style.animationName !== "none" && longest(style.animationDuration) > 10;
      if (animated || longest(style.transitionDuration) > 10) still.push(`${element.tagName.toLowerCase()}.${element.className}`);
    }
    return [...new Set(still)];
  },

  // Every control that the Tab key should reach, marked with a number. How each looks is kept.
  controls() {
    const all = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]";
    const groups = new Set();
    let count = 0;
    document.activeElement.blur();
    window.surveyLooks = new Map();
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
      window.surveyLooks.set(stop, surveyLook(stop));
    }
    return count;
  },

  // The focused control: its number, its beginning, whether it looks focused and can be seen. Null for none.
  focused() {
    const element = document.activeElement;
    if (!element || element === document.body) return null;
    const before = window.surveyLooks.get(element);
    const box = element.getBoundingClientRect();
    return {
      stop: element.dataset.stop === undefined ? null : Number(element.dataset.stop),
      what: element.outerHTML.replace(/\s+/g, " ").slice(0, 140),
      visible: before === undefined || before !== surveyLook(element),
      onScreen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    };
  },
})
