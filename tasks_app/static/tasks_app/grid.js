/* One cell per stock, drawn on a canvas: 6,000 elements would cost ten times as much layout time and memory.

   Each state has a colour and a shape. Details are fetched when a cell is focused or hovered, for a block of
   a hundred cells at a time. The grid is a single tab stop; the arrow keys move within it. */

const BLOCK = 100;
const SIZES = [[150, 22], [600, 16], [2000, 12], [Infinity, 9]];
const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

/** Expands runs of states: "3s2p" becomes ["s", "s", "s", "p", "p"]. */
export function decode(runs) {
  const states = [];
  for (const [, length, letter] of runs.matchAll(/(\d+)([a-z])/g)) {
    for (let n = Number(length); n > 0; n -= 1) states.push(letter);
  }
  return states;
}

export class Grid {
  constructor(section, { address, texts, number }) {
    Object.assign(this, { section, address, texts, number, states: [], shown: [], only: "", at: -1 });
    this.box = section.querySelector("#sc-cells");
    this.canvas = this.box.querySelector("canvas");
    this.tip = section.querySelector("#sc-tip");
    this.status = section.querySelector("#sc-cell-said");
    this.empty = section.querySelector("#sc-grid-empty");
    this.buttons = [...section.querySelectorAll("[data-sc-only]")];
    this.blocks = new Map();
    this.listen();
  }

  listen() {
    for (const button of this.buttons) {
      button.addEventListener("click", () => this.filter(button.dataset.scOnly));
    }
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("focus", () => this.box.matches(":focus-visible") && this.select(Math.max(this.at, 0), true));
    this.box.addEventListener("blur", () => this.deselect());
    this.canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.select(this.hit(event)));
    this.canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.deselect());
    this.canvas.addEventListener("click", (event) => this.click(event));
    new ResizeObserver(() => this.layout()).observe(this.box.parentElement);
    const theme = new MutationObserver(() => this.draw());
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Shows these states. `planned` tells an empty stock list from one that is still being read. */
  set(runs, planned) {
    const states = decode(runs);
    states.forEach((state, n) => state !== this.states[n] && this.blocks.delete(Math.floor(n / BLOCK)));
    this.states = states;
    this.planned = planned;
    this.count();
    this.applyFilter();
  }

  filter(letter) {
    this.only = this.only === letter ? "" : letter;
    this.at = -1;
    this.deselect();
    for (const button of this.buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.scOnly === this.only));
    }
    this.applyFilter();
  }

  count() {
    const counts = { "": this.states.length };
    for (const state of this.states) counts[state] = (counts[state] ?? 0) + 1;
    for (const button of this.buttons) {
      button.querySelector("b").textContent = this.number(counts[button.dataset.scOnly] ?? 0);
    }
  }

  applyFilter() {
    const positions = [...this.states.keys()];
    this.shown = this.only ? positions.filter((n) => this.states[n] === this.only) : positions;
    this.box.hidden = !this.shown.length;
    this.empty.hidden = !this.box.hidden;
    this.empty.textContent = this.states.length
      ? this.texts.none_such
      : this.planned ? this.texts.no_stocks : this.texts.planning;
    const label = this.texts.cells.replace("{count}", this.number(this.shown.length));
    this.box.setAttribute("aria-label", label);
    this.layout();
  }

  layout() {
    const width = this.box.clientWidth;
    if (!width) return;
    this.pitch = SIZES.find(([limit]) => this.shown.length <= limit)[1];
    this.columns = Math.max(1, Math.floor(width / this.pitch));
    this.height = Math.ceil(this.shown.length / this.columns) * this.pitch;
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.columns * this.pitch * scale);
    this.canvas.height = Math.max(1, Math.round(this.height * scale));
    this.canvas.style.width = `${this.columns * this.pitch}px`;
    this.canvas.style.height = `${this.height}px`;
    this.draw();
  }

  draw() {
    if (!this.pitch) return;
    const context = this.canvas.getContext("2d");
    const scale = this.canvas.width / (this.columns * this.pitch);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, this.columns * this.pitch, this.height);
    const size = this.pitch - (this.pitch > 10 ? 2 : 1);
    const style = getComputedStyle(this.section);
    const colour = (name) => style.getPropertyValue(`--sc-cell-${name}`).trim();
    for (const letter of "pcsfk") {
      const shapes = { fill: new Path2D(), mark: new Path2D() };
      this.shown.forEach((position, n) => {
        if (this.states[position] === letter) this.shape(shapes, letter, ...this.corner(n), size);
      });
      context.fillStyle = colour(letter);
      context.fill(shapes.fill);
      context.strokeStyle = colour(`${letter}-mark`);
      context.lineWidth = Math.max(1, size / 8);
      context.stroke(shapes.mark);
    }
    this.ring(context, size, colour("ring"));
  }

  /** Succeeded is filled, failed has a cross, claimed a core in a frame, pending is a frame, skipped has a bar. */
  shape({ fill, mark }, letter, x, y, size) {
    const inset = size * 0.25;
    fill.rect(x, y, size, size);
    if (letter === "f") {
      mark.moveTo(x + inset, y + inset);
      mark.lineTo(x + size - inset, y + size - inset);
      mark.moveTo(x + size - inset, y + inset);
      mark.lineTo(x + inset, y + size - inset);
    } else if (letter === "c") {
      mark.rect(x + inset, y + inset, size - 2 * inset, size - 2 * inset);
    } else if (letter === "p" && size > 10) {
      mark.rect(x + 0.5, y + 0.5, size - 1, size - 1);
    } else if (letter === "k") {
      mark.moveTo(x + inset / 2, y + size / 2);
      mark.lineTo(x + size - inset / 2, y + size / 2);
    }
  }

  ring(context, size, colour) {
    if (this.at < 0 || this.at >= this.shown.length) return;
    const [x, y] = this.corner(this.at);
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.strokeRect(x, y, size, size);
  }

  corner(n) {
    return [(n % this.columns) * this.pitch, Math.floor(n / this.columns) * this.pitch];
  }

  hit(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - bounds.left) / this.pitch);
    const n = Math.floor((event.clientY - bounds.top) / this.pitch) * this.columns + column;
    return column < this.columns && n < this.shown.length ? n : -1;
  }

  key(event) {
    const last = this.shown.length - 1;
    const page = this.columns * 10;
    const moves = {
      ...STEPS, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity,
    };
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in moves) {
      event.preventDefault();
      this.select(Math.min(last, Math.max(0, Math.max(this.at, 0) + moves[event.key])), true);
    } else if (event.key === "Enter") {
      this.open();
    } else if (event.key === "Escape") {
      this.deselect();
    }
  }

  click(event) {
    const n = this.hit(event);
    const isSelected = n === this.at && !this.tip.hidden;
    if (n < 0) return;
    this.select(n);
    if (event.pointerType === "mouse" || isSelected) this.open(); // a first tap selects, a second one opens
  }

  async open() {
    const detail = await this.detail(this.shown[this.at]);
    if (detail) window.location.assign(detail.url);
  }

  deselect() {
    this.at = -1;
    this.tip.hidden = true;
    this.draw();
  }

  /** Selects the n-th visible cell and shows its details; `announce` reads them out, for keyboard users. */
  async select(n, announce = false) {
    if (n === this.at && !this.tip.hidden) return;
    this.at = n;
    this.draw();
    if (n < 0) {
      this.tip.hidden = true;
      return;
    }
    const position = this.shown[n];
    this.fillTip(null);
    this.placeTip(n, announce);
    const detail = await this.detail(position);
    if (this.at !== n || this.shown[n] !== position || !detail) return;
    this.fillTip(detail);
    this.placeTip(n, announce);
    if (announce) this.status.textContent = this.tip.innerText;
  }

  /** Returns the details of the position; null when the request failed. */
  async detail(position) {
    const block = Math.floor(position / BLOCK);
    if (!this.blocks.has(block)) this.blocks.set(block, this.fetchBlock(block));
    const details = await this.blocks.get(block);
    if (!details) this.blocks.delete(block);
    return details?.find((detail) => detail.position === position) ?? null;
  }

  async fetchBlock(block) {
    try {
      const response = await fetch(`${this.address}?block=${block}`, { redirect: "manual" });
      return response.ok ? await response.json() : null;
    } catch (error) {
      if (error instanceof TypeError) return null; // no connection: the head of the page says so
      throw error;
    }
  }

  fillTip(detail) {
    const lines = detail ? this.lines(detail) : [["", this.texts.loading]];
    this.tip.replaceChildren(
      ...lines.map(([name, value], n) => {
        const line = document.createElement(n ? "p" : "b");
        line.textContent = name ? `${name}: ${value}` : value;
        return line;
      }),
    );
  }

  lines(detail) {
    const { texts, number } = this;
    const lines = [["", [detail.code, detail.name].filter(Boolean).join(" ")], ["", texts.states[detail.state]]];
    if (detail.attempts) lines.push([texts.attempts, number(detail.attempts)]);
    if (detail.rows) lines.push([texts.rows, number(detail.rows)]);
    if (detail.refused) lines.push([texts.refused, number(detail.refused)]);
    if (detail.ms !== null) lines.push([texts.took, `${number(detail.ms)} ms`]);
    if (detail.error_code) lines.push([texts.error, `${detail.error} (${detail.error_code})`]);
    return lines;
  }

  placeTip(n, scroll) {
    const [x, y] = this.corner(n);
    if (scroll) {
      const above = y < this.box.scrollTop;
      if (above || y + this.pitch > this.box.scrollTop + this.box.clientHeight) {
        this.box.scrollTop = above ? y : y + this.pitch - this.box.clientHeight;
      }
    }
    this.tip.hidden = false;
    const room = this.section.clientWidth - this.tip.offsetWidth - 8;
    const top = this.box.offsetTop + y - this.box.scrollTop;
    const below = top + this.pitch + 6;
    const above = top - this.tip.offsetHeight - 6;
    const fits = this.section.getBoundingClientRect().top + below + this.tip.offsetHeight < window.innerHeight;
    this.tip.style.left = `${Math.max(8, Math.min(room, this.box.offsetLeft + x))}px`;
    this.tip.style.top = `${fits || above < 0 ? below : above}px`;
  }
}
