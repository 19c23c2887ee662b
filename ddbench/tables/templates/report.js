"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  for (const table of document.querySelectorAll("table.sortable")) ddbenchPage.makeSortable(table);

  // Filters: tables and pictures by what they are of, rows by method.
  const filters = byId("filters"), tables = document.querySelectorAll("#tables > .panel");
  const keepInAddress = (chosen) => {
    const set = Object.entries(chosen).filter(([, value]) => value);
    const hash = set.length ? `#filters?${new URLSearchParams(set)}` : location.hash.startsWith("#filters?") ? "#" : null;
    if (hash !== null && hash !== location.hash) history.replaceState(null, "", hash);
  };
  const readAddress = () => {
    if (!location.hash.startsWith("#filters?")) return;
    const wanted = new URLSearchParams(location.hash.slice("#filters?".length));
    for (const control of filters.elements) {
      control.value = wanted.get(control.name) ?? "";
      if (control.selectedIndex === -1) control.value = ""; // a choice that this page has not
    }
  };
  const applyFilters = () => {
    const chosen = Object.fromEntries(new FormData(filters));
    for (const part of document.querySelectorAll("[data-dataset]")) {
      part.hidden = ["dataset", "protocol", "network"].some(
        (name) => chosen[name] && name in part.dataset && part.dataset[name] !== chosen[name],
      );
    }
    const method = (chosen.method ?? "").trim().toLowerCase();
    for (const row of document.querySelectorAll("[data-method]")) {
      row.hidden = !row.dataset.method.toLowerCase().includes(method);
    }
    for (const row of document.querySelectorAll("[data-claim]")) {
      row.hidden = !row.dataset.claim.toLowerCase().includes(method);
    }
    // What holds no row any more says nothing: tables, and panels whose table of accuracies is empty.
    const isEmpty = (part) => method !== "" && !part.querySelector("tbody tr:not([hidden])");
    for (const part of document.querySelectorAll("#tables details.part:not(.numbers)")) {
      if (part.querySelector("tbody")) part.hidden = isEmpty(part);
    }
    for (const panel of tables) panel.hidden ||= isEmpty(panel.querySelector("table.accuracy"));
    for (const plots of document.querySelectorAll("#tables .plots")) plots.hidden = method !== "";
    for (const note of document.querySelectorAll("#tables .unfiltered")) note.hidden = method === "";
    keepInAddress(chosen);
    const left = [...tables].filter((table) => !table.hidden).length;
    byId("shown").textContent = `${left} of ${tables.length} table${tables.length === 1 ? "" : "s"} shown`;
    byId("nothing").hidden = left > 0;
  };
  filters.addEventListener("input", applyFilters);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.hidden = false;
  readAddress();
  applyFilters(); // a reloaded page may keep what was chosen

  // A number opens what stands behind it; a link to a part that is folded away unfolds it.
  const dialog = byId("behind");
  const unfold = () => {
    const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    if (target) target.scrollIntoView();
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("td a[href^='#']");
    const summary = link && byId(link.hash.slice(1));
    if (!summary || summary.tagName !== "SUMMARY") return;
    event.preventDefault();
    const panel = summary.closest(".panel").querySelector("h2");
    byId("behind-title").textContent = `${summary.textContent} (${panel.textContent})`;
    byId("behind-content").replaceChildren(summary.nextElementSibling.cloneNode(true));
    dialog.showModal();
    dialog.scrollTop = 0;
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  addEventListener("hashchange", () => {
    unfold();
    if (location.hash.startsWith("#filters?")) { readAddress(); applyFilters(); }
  });
  unfold();
})();
