/* What the theme lacks for screen readers. Runs before the theme's own scripts. */
document.addEventListener("DOMContentLoaded", () => {
  // An icon is a ligature of its font, which would be read out before the label: "checklist Tasks".
  for (const icon of document.querySelectorAll(".material-symbols-outlined:not([aria-hidden])")) {
    const control = icon.closest("a, button, label, h1, h2, h3, th, td, li, p") ?? icon.parentElement;
    const words = control.textContent.replace(icon.textContent, "").trim();
    if (words || control.hasAttribute("aria-label")) icon.ariaHidden = "true";
  }
  // A scrolling box is a region, which simplebar names in English.
  const site = document.title.split("|").at(-1).trim();
  const page = document.querySelector("h1")?.textContent.replace(/chevron_right/g, " – ").replace(/\s+/g, " ").trim();
  for (const box of document.querySelectorAll("[data-simplebar]")) {
    const name = box.closest("#nav-sidebar") ? site : page;
    if (name) box.dataset.simplebarAriaLabel = name;
  }
});
