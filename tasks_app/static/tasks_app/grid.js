/* One cell per stock, on a canvas: 6,000 elements would cost ten times as much to lay out and to keep.

   A state is a colour and a shape. What a cell says is asked for when it is looked at, a hundred cells at
   a time. The grid is one stop for the keyboard; arrow keys move within it. */

const BLOCK = 100;
const SIZES = [[150, 22], [600, 16], [2000, 12], [Infinity, 9]];
const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

/** "3s2p" as ["s", "s", "s", "p", "p"]. */
export function decode(runs) {
  const states = [];
  for (const [, many, letter] of runs.matchAll(/(\d+)([a-z])/g)) {
    for (let n = Number(many); n > 0; n -= 1) states.push(letter);
  }
  return states;
}

export class Grid {
  constructor(section, { address, words, number }) {
    Object.assign(this, { section, address, words, number, states: [], shown: [], only: "", at: -1 });
    this.box = section.querySelector("#sc-cells");
    this.canvas = this.box.querySelector("canvas");
    this.tip = section.querySelector("#sc-tip");
    this.said = section.querySelector("#sc-cell-said");
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
    this.box.addEventListener("focus", () => this.box.matches(":focus-visible") && this.look(Math.max(this.at, 0), true));
    this.box.addEventListener("blur", () => this.leave());
    this.canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.look(this.hit(event)));
    this.canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.leave());
    this.canvas.addEventListener("click", (event) => this.click(event));
    new ResizeObserver(() => this.layout()).observe(this.box.parentElement);
    const theme = new MutationObserver(() => this.draw());
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Show these states; `planned` tells an empty list from one that is still being read. */
  set(runs, planned) {
    const states = decode(runs);
    states.forEach((state, n) => state !== this.states[n] && this.blocks.delete(Math.floor(n / BLOCK)));
    this.states = states;
    this.planned = planned;
    this.count();
    this.choose();
  }

  filter(letter) {
    this.only = this.only === letter ? "" : letter;
    this.at = -1;
    this.leave();
    for (const button of this.buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.scOnly === this.only));
    }
    this.choose();
  }

  count() {
    const counts = { "": this.states.length };
    for (const state of this.states) counts[state] = (counts[state] ?? 0) + 1;
    for (const button of this.buttons) {
      button.querySelector("b").textContent = this.number(counts[button.dataset.scOnly] ?? 0);
    }
  }

  choose() {
    const positions = [...this.states.keys()];
    this.shown = this.only ? positions.filter((n) => this.states[n] === this.only) : positions;
    this.box.hidden = !this.shown.length;
    this.empty.hidden = !this.box.hidden;
    this.empty.textContent = this.states.length
      ? this.words.none_such
      : this.planned ? this.words.no_stocks : this.words.planning;
    const label = this.words.cells.replace("{count}", this.number(this.shown.length));
    this.box.setAttribute("aria-label", label);
    this.layout();
  }

  layout() {
    const width = this.box.clientWidth;
    if (!width) return;
    this.pitch = SIZES.find(([most]) => this.shown.length <= most)[1];
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

  /** Done is full, failed has a cross, at work a core in a frame, pending is a frame, skipped has a bar. */
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
    const place = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - place.left) / this.pitch);
    const n = Math.floor((event.clientY - place.top) / this.pitch) * this.columns + column;
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
      this.look(Math.min(last, Math.max(0, Math.max(this.at, 0) + moves[event.key])), true);
    } else if (event.key === "Enter") {
      this.open();
    } else if (event.key === "Escape") {
      this.leave();
    }
  }

  click(event) {
    const n = this.hit(event);
    const known = n === this.at && !this.tip.hidden;
    if (n < 0) return;
    this.look(n);
    if (event.pointerType === "mouse" || known) this.open(); // a finger looks first, then opens
  }

  async open() {
    const detail = await this.detail(this.shown[this.at]);
    if (detail) window.location.assign(detail.url);
  }

  leave() {
    this.at = -1;
    this.tip.hidden = true;
    this.draw();
  }

  /** Show what the n-th shown cell says; `aloud` for those who got there by keyboard. */
  async look(n, aloud = false) {
    if (n === this.at && !this.tip.hidden) return;
    this.at = n;
    this.draw();
    if (n < 0) {
      this.tip.hidden = true;
      return;
    }
    const position = this.shown[n];
    this.tell(null);
    this.place(n, aloud);
    const detail = await this.detail(position);
    if (this.at !== n || this.shown[n] !== position || !detail) return;
    this.tell(detail);
    this.place(n, aloud);
    if (aloud) this.said.textContent = this.tip.innerText;
  }

  /** What is known of the position; null when the server would not say. */
  async detail(position) {
    const block = Math.floor(position / BLOCK);
    if (!this.blocks.has(block)) this.blocks.set(block, this.ask(block));
    const details = await this.blocks.get(block);
    if (!details) this.blocks.delete(block);
    return details?.find((detail) => detail.position === position) ?? null;
  }

  async ask(block) {
    try {
      const answer = await fetch(`${this.address}?block=${block}`, { redirect: "manual" });
      return answer.ok ? await answer.json() : null;
    } catch (error) {
      if (error instanceof TypeError) return null; // no connection: the page's head says so
      throw error;
    }
  }

  tell(detail) {
    const lines = detail ? this.lines(detail) : [["", this.words.loading]];
    this.tip.replaceChildren(
      ...lines.map(([name, value], n) => {
        const line = document.createElement(n ? "p" : "b");
        line.textContent = name ? `${name}: ${value}` : value;
        return line;
      }),
    );
  }

  lines(detail) {
    const { words, number } = this;
    const lines = [["", [detail.code, detail.name].filter(Boolean).join(" ")], ["", words.states[detail.state]]];
    if (detail.attempts) lines.push([words.attempts, number(detail.attempts)]);
    if (detail.rows) lines.push([words.rows, number(detail.rows)]);
    if (detail.refused) lines.push([words.refused, number(detail.refused)]);
    if (detail.ms !== null) lines.push([words.took, `${number(detail.ms)} ms`]);
    if (detail.error_code) lines.push([words.error, `${detail.error} (${detail.error_code})`]);
    return lines;
  }

  place(n, scroll) {
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
    const over = top - this.tip.offsetHeight - 6;
    const fits = this.section.getBoundingClientRect().top + below + this.tip.offsetHeight < window.innerHeight;
    this.tip.style.left = `${Math.max(8, Math.min(room, this.box.offsetLeft + x))}px`;
    this.tip.style.top = `${fits || over < 0 ? below : over}px`;
  }
}
