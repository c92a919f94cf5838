/* The pages of uploads: sends files with progress, and has a file checked part by part.
   Without it files are sent as usual, and each press of a button checks a part. */
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const problem = byId("uf-problem");
  const tell = (text) => {
    problem.textContent = text;
    problem.hidden = false;
  };

  const form = byId("uf-form");
  if (form) {
    form.elements.file.hasChangeListener = true; /* the theme's own expects a text field above it, and fails */
    const progress = byId("uf-progress"), button = form.querySelector("button[type=submit]");
    const show = (percent) => {
      progress.firstElementChild.value = percent;
      progress.lastElementChild.textContent = `${percent}%`;
    };
    const stop = (text) => {
      progress.hidden = true;
      button.disabled = false;
      tell(text);
    };
    form.addEventListener("submit", (event) => {
      const files = [...form.elements.file.files];
      if (!files.length) return; /* the server says that one is missing */
      event.preventDefault();
      problem.hidden = true;
      if (files.reduce((sum, file) => sum + file.size, 0) > Number(form.dataset.limit)) return stop(form.dataset.tooLarge);
      const request = new XMLHttpRequest();
      request.open("POST", location.href);
      request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
      request.responseType = "json";
      request.upload.addEventListener("progress", ({ loaded, total }) => show(Math.floor((loaded / total) * 100)));
      request.addEventListener("error", () => stop(form.dataset.failed));
      request.addEventListener("load", () => {
        const answer = request.response;
        if (answer?.url) location.assign(answer.url);
        else stop(answer?.problem || form.dataset.failed);
      });
      button.disabled = true;
      progress.hidden = false;
      show(0);
      request.send(new FormData(form));
    });
  }

  const check = byId("uf-check");
  if (check) {
    const bar = check.querySelector("progress"), text = check.querySelector(".uf-progress span");
    const goOn = async () => {
      const response = await fetch(check.action, {
        method: "POST",
        body: new FormData(check),
        headers: { "X-Requested-With": "XMLHttpRequest" },
      });
      if (!response.ok) throw new Error(String(response.status));
      const { done, total, is_done: isDone } = await response.json();
      bar.max = total;
      bar.value = done;
      text.textContent = `${done.toLocaleString("en")}/${total.toLocaleString("en")}`;
      if (isDone) location.reload();
      else await goOn();
    };
    goOn().catch(() => tell(check.dataset.failed));
  }
})();
