/* The page of exports: the list refreshes itself. */

import { Refresher, swap } from "./refresh.js";

const rows = document.getElementById("xp-rows");
new Refresher({
  address: () => rows.dataset.url,
  etag: rows.dataset.etag,
  onData: ({ html }) => swap(rows, html),
  onState: ({ kind }) => kind === "signed_out" && window.location.reload(),
}).resume();
