/* Polls the server: not while the tab is hidden, and with increasing delays while requests fail.

   This is a loop of our own, because htmx's polling sends no If-None-Match, does not report an expired
   session or an unreachable server, and replaces HTML without keeping the focus and open details. */

const STORE = "sc-refresh";
const TIMEOUT = 10_000; // ms
const MAX_DELAY = 60; // seconds
const DEFAULT = 2; // seconds

/** Returns the chosen interval in seconds, 0 for "paused". All pages share it, and it is remembered. */
export function interval() {
  let stored = null;
  try {
    stored = localStorage.getItem(STORE);
  } catch {
    // the browser blocks storage
  }
  const seconds = Number(stored || DEFAULT);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : DEFAULT;
}

/** Replaces the element's HTML. Open details stay open, and the focused element keeps the focus. */
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
  /** `address()` returns the URL. `onData(data)` gets the JSON of each 200, `onState(state)` each new state.
      A state is {kind, status}: kind is ok, paused, lost, failing, signed_out, forbidden, gone or final.
      Polls at most once in `atLeast` seconds. `etag` is the version of the data in the page as it was loaded. */
  constructor({ address, onData, onState, atLeast = 0, etag = "" }) {
    Object.assign(this, { address, onData, onState, atLeast, etag, failures: 0, ended: false, timer: 0, pending: null });
    this.updatedAt = performance.now();
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

  /** Seconds since the server last confirmed the data. */
  get age() {
    return (performance.now() - this.updatedAt) / 1000;
  }

  /** Continues after a pause: immediately if the interval has passed. */
  resume() {
    this.stop();
    if (this.ended) return;
    if (!this.every) {
      this.setState({ kind: "paused" });
    } else if (!document.hidden) {
      this.schedule(Math.max(0, this.every - this.age));
    }
  }

  stop() {
    clearTimeout(this.timer);
  }

  /** Stops for good: the task has ended, or no longer exists. */
  end(kind) {
    this.ended = true;
    this.stop();
    this.setState({ kind });
  }

  schedule(seconds) {
    this.stop();
    this.timer = setTimeout(() => this.poll(), seconds * 1000);
  }

  /** Polls now. There is at most one request at a time. */
  poll() {
    this.stop();
    this.pending ??= this.request().finally(() => (this.pending = null));
    return this.pending;
  }

  async request() {
    try {
      await this.handle(await this.fetch());
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
      this.failed("lost"); // no connection, or a timeout
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

  async handle(response) {
    if (response.type === "opaqueredirect") return this.failed("signed_out");
    if (response.status === 403) return this.failed("forbidden");
    if (response.status === 404) return this.end("gone");
    if (response.status !== 200 && response.status !== 304) return this.failed("failing", response.status);
    const data = response.status === 200 ? await response.json() : null;
    this.etag = response.headers.get("ETag") ?? "";
    this.updatedAt = performance.now();
    this.failures = 0;
    if (data) this.onData(data);
    if (this.ended) return undefined;
    this.setState({ kind: this.every ? "ok" : "paused" });
    if (this.every && !document.hidden) this.schedule(this.every);
    return undefined;
  }

  /** Schedules the next try with exponential backoff; the random factor keeps pages from retrying all at once. */
  failed(kind, status = 0) {
    this.failures += 1;
    const wait = Math.min(MAX_DELAY, Math.max(this.every, 2) * 2 ** (this.failures - 1));
    this.retryAt = performance.now() + wait * 1000;
    this.setState({ kind, status });
    if (this.every && !document.hidden) this.schedule(wait * (0.8 + 0.4 * Math.random()));
  }

  setState(state) {
    this.state = state;
    this.onState(state);
  }
}
