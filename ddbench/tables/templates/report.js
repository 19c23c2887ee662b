"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  for (const table of document.querySelectorAll("table.sortable")) {
    ddbenchPage.makeSortable(table);
    ddbenchPage.makeCopyable(table);
  }

  // Filters: whatever is of a data set, protocol, network or method that is not chosen goes, with what it leaves empty.
  const filters = byId("filters"), here = [...document.querySelectorAll("#tables > .panel")];
  const kinds = ["dataset", "protocol", "network"];
  const rows = document.querySelectorAll("#tables table.accuracy tbody tr");
  const isLeft = (node) => !node.closest("[hidden]");
  const hideEmpty = (nodes, inside) => {
    for (const node of nodes) node.hidden = ![...node.querySelectorAll(inside)].some((found) => !found.hidden);
  };
  // What is chosen stands in the address, so that a link or a reload shows the same.
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
    const method = (chosen.method ?? "").trim().toLowerCase();
    for (const part of document.querySelectorAll("[data-dataset]")) {
      part.hidden = kinds.some((kind) => chosen[kind] && kind in part.dataset && part.dataset[kind] !== chosen[kind]);
    }
    for (const part of document.querySelectorAll("[data-method]")) {
      part.hidden = !part.dataset.method.toLowerCase().includes(method);
    }
    for (const part of document.querySelectorAll("[data-methods]")) {
      const fits = part.dataset.methods.toLowerCase().split("\n").some((name) => name.includes(method));
      if (part.dataset.dataset === undefined) part.hidden = !fits;
      else part.hidden ||= !fits;
    }
    for (const claim of document.querySelectorAll("tr.claim")) { // one that names none of a kind may be about any
      const other = (kind) => {
        const named = claim.getAttribute(`data-names-${kind}`);
        return chosen[kind] && named && !named.split("\n").includes(chosen[kind]);
      };
      claim.hidden = kinds.some(other) || !claim.textContent.toLowerCase().includes(method);
    }
    for (const part of document.querySelectorAll(".plot [data-row]")) { // elements of SVG have no property for it
      const isChosen = part.dataset.row.toLowerCase().includes(method) || part.dataset.row === "full_real";
      part.toggleAttribute("hidden", !isChosen);
      part.classList.toggle("chosen", method !== "");
    }
    hideEmpty(document.querySelectorAll("details.part"), "tbody tr, .notes > li, details.number, figure");
    for (const block of here) block.hidden ||= ![...block.querySelectorAll(".accuracy tbody tr")].some((row) => !row.hidden);
    const scrolled = "#networks .wide, #pictures .panel, #claims > .wide";
    for (const part of document.querySelectorAll(scrolled)) {
      const inside = [...part.querySelectorAll("tbody tr, figure")];
      if (part.dataset.dataset === undefined) part.hidden = inside.every((found) => found.hidden);
      else part.hidden ||= inside.every((found) => found.hidden);
    }
    hideEmpty(document.querySelectorAll("#summary"), "tbody tr");
    hideEmpty(document.querySelectorAll("#networks"), ":scope > .wide");
    hideEmpty(document.querySelectorAll("#pictures"), ":scope > .panel, :scope > .notes > li");
    hideEmpty(document.querySelectorAll("#claims"), "tbody tr");
    hideEmpty(document.querySelectorAll(".contents"), "li");
    for (const link of document.querySelectorAll("body > nav a")) link.hidden = !!byId(link.hash.slice(1))?.hidden;
    const parts = here.length ? here : [...document.querySelectorAll(".contents li")];
    const left = parts.filter((part) => !part.hidden).length;
    const lines = [...rows].filter(isLeft).length;
    const count = (some, all, noun) => `${some} of ${all} ${noun}${all === 1 ? "" : "s"}`;
    const ofRows = rows.length ? ` and ${count(lines, rows.length, "row")}` : "";
    byId("shown").textContent = `${count(left, parts.length, "table")}${ofRows} shown`;
    byId("nothing").hidden = left > 0;
    keepInAddress(chosen);
  };
  filters.addEventListener("input", applyFilters);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.hidden = false;
  readAddress();
  applyFilters(); // a reloaded page may keep what was chosen

  // A number opens what stands behind it; a link to a part that is folded away unfolds it.
  const dialog = byId("behind");
  const unfold = () => {
    const target = location.hash && byId(location.hash.slice(1));
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    if (target) target.scrollIntoView();
  };
  const show = (title, content) => {
    byId("behind-title").textContent = title;
    byId("behind-content").replaceChildren(content);
    dialog.showModal();
    dialog.scrollTop = 0;
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("td a[href^='#']");
    const summary = link && byId(link.hash.slice(1));
    if (!summary || summary.tagName !== "SUMMARY") return;
    event.preventDefault();
    const panel = summary.closest(".panel").querySelector("h2");
    show(`${summary.textContent} (${panel.textContent})`, summary.nextElementSibling.cloneNode(true));
  });
  ddbenchPage.showPictures(show);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  addEventListener("hashchange", () => {
    unfold();
    if (location.hash.startsWith("#filters?")) { readAddress(); applyFilters(); }
  });
  unfold();
})();
