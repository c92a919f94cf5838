/* Asks the server again and again, kindly: not while the tab is hidden, less often while it fails.

   A loop of our own rather than htmx's polling: that one sends no If-None-Match, says nothing when the
   session or the server is gone, and swaps pieces without keeping focus and open details. */

const STORE = "sc-refresh";
const TIMEOUT = 10_000;
const LONGEST = 60;
const DEFAULT = 2;

/** The chosen interval in seconds, 0 for "paused"; the same for all pages, remembered. */
export function interval() {
  let stored = null;
  try {
    stored = localStorage.getItem(STORE);
  } catch {
    // a browser that stores nothing
  }
  const seconds = Number(stored || DEFAULT);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : DEFAULT;
}

/** Replaces the element's HTML; open details stay open, and what has the focus keeps it. */
export function swap(element, html) {
  const open = new Set([...element.querySelectorAll("details[open]")].map((details) => details.id));
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.getAttribute("href"));
  element.innerHTML = html;
  for (const details of element.querySelectorAll("details")) details.open = open.has(details.id);
  if (!key) return;
  const again = element.querySelector(key.startsWith("#") ? key : `a[href="${CSS.escape(key)}"]`);
  again?.focus({ preventScroll: true });
}

export class Refresher {
  /** `address()` is asked; `changed(data)` gets the JSON of a 200, `told(state)` each change of what is known.
      A state is {kind, wait, status}: kind is ok, paused, lost, failing, signed_out, forbidden, gone or final.
      It asks no more often than every `atLeast` seconds. `etag` names the version that the page begins with. */
  constructor({ address, changed, told, atLeast = 0, etag = "" }) {
    Object.assign(this, { address, changed, told, atLeast, etag, failures: 0, over: false, timer: 0, asking: null });
    this.seen = performance.now();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.stop() : this.resume()));
    window.addEventListener("online", () => this.resume());
    window.addEventListener("storage", (event) => event.key === STORE && this.resume());
  }

  get every() {
    return interval() && Math.max(interval(), this.atLeast);
  }

  set every(seconds) {
    localStorage.setItem(STORE, String(seconds));
    this.resume();
  }

  /** Seconds since the server last said how things are. */
  get age() {
    return (performance.now() - this.seen) / 1000;
  }

  /** Go on after a pause: at once, if it is time. */
  resume() {
    this.stop();
    if (this.over) return;
    if (!this.every) {
      this.tell({ kind: "paused" });
    } else if (!document.hidden) {
      this.later(Math.max(0, this.every - this.age));
    }
  }

  stop() {
    clearTimeout(this.timer);
  }

  /** The task has ended, or is gone: never ask again. */
  end(kind) {
    this.over = true;
    this.stop();
    this.tell({ kind });
  }

  later(seconds) {
    this.stop();
    this.timer = setTimeout(() => this.ask(), seconds * 1000);
  }

  /** Ask once, now. Never twice at the same time. */
  ask() {
    this.stop();
    this.asking ??= this.once().finally(() => (this.asking = null));
    return this.asking;
  }

  async once() {
    try {
      await this.read(await this.fetch());
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
      this.failed("lost"); // no connection, or no answer in time
    }
  }

  fetch() {
    return fetch(this.address(), {
      headers: { Accept: "application/json", ...(this.etag && { "If-None-Match": this.etag }) },
      redirect: "manual",
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT),
    });
  }

  async read(answer) {
    if (answer.type === "opaqueredirect") return this.failed("signed_out");
    if (answer.status === 403) return this.failed("forbidden");
    if (answer.status === 404) return this.end("gone");
    if (answer.status !== 200 && answer.status !== 304) return this.failed("failing", answer.status);
    const data = answer.status === 200 ? await answer.json() : null;
    this.etag = answer.headers.get("ETag") ?? "";
    this.seen = performance.now();
    this.failures = 0;
    if (data) this.changed(data);
    if (this.over) return undefined;
    this.tell({ kind: this.every ? "ok" : "paused" });
    if (this.every && !document.hidden) this.later(this.every);
    return undefined;
  }

  /** Try again later, each time later, never all pages at once. */
  failed(kind, status = 0) {
    this.failures += 1;
    const wait = Math.min(LONGEST, Math.max(this.every, 2) * 2 ** (this.failures - 1));
    this.retryAt = performance.now() + wait * 1000;
    this.tell({ kind, status });
    if (this.every && !document.hidden) this.later(wait * (0.8 + 0.4 * Math.random()));
  }

  tell(state) {
    this.state = state;
    this.told(state);
  }
}
