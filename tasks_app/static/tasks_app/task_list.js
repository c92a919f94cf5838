/* The task list: while a task runs, the cells of the shown tasks are brought up to date. The checkboxes stay.

   The list is asked for as it is, because it has no other address that tells its rows. */

import { interval, swap } from "./refresh.js";

const AT_LEAST = 5; // seconds: a page of tasks costs more than the state of one
const TIMEOUT = 10_000; // ms
const RUNNING = ".sc-label.sc-info";
const table = document.getElementById("result_list");

function rowsById(list) {
  return new Map([...list.tBodies[0].rows].map((row) => [row.querySelector(".sc-key a").textContent, row]));
}

async function refresh() {
  const response = await fetch(location.href, { redirect: "error", signal: AbortSignal.timeout(TIMEOUT) });
  if (!response.ok) throw new TypeError(`status ${response.status}`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.getElementById("result_list");
  if (!fresh) return;
  const rows = rowsById(table);
  for (const [id, row] of rowsById(fresh)) {
    [...(rows.get(id)?.cells ?? [])].forEach((cell, at) => {
      const isCheckbox = cell.querySelector("input.action-select");
      if (!isCheckbox && cell.innerHTML !== row.cells[at].innerHTML) swap(cell, row.cells[at].innerHTML);
    });
  }
}

/** Goes on while a task runs; a failed request is tried again in the next turn. */
function schedule() {
  if (!table?.querySelector(RUNNING)) return;
  setTimeout(async () => {
    try {
      if (!document.hidden && interval()) await refresh();
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error; // no connection, signed out
    }
    schedule();
  }, Math.max(interval(), AT_LEAST) * 1000);
}

schedule();
