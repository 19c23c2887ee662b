"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  for (const table of document.querySelectorAll("table.sortable")) ddbenchPage.makeSortable(table);

  // Filters: tables and pictures by what they are of, rows by method.
  const filters = byId("filters"), tables = document.querySelectorAll("#tables > .panel");
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
    const left = [...tables].filter((table) => !table.hidden).length;
    byId("shown").textContent = `${left} of ${tables.length} table${tables.length === 1 ? "" : "s"} shown`;
    byId("nothing").hidden = left > 0;
  };
  filters.addEventListener("input", applyFilters);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.hidden = false;
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
  addEventListener("hashchange", unfold);
  unfold();
})();
