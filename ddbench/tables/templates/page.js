"use strict";
const ddbenchPage = (() => { // what every page has
  const byId = (id) => document.getElementById(id);

  // Theme: the system's until the button is pressed.
  const root = document.documentElement, theme = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const showTheme = () => { theme.textContent = isDark() ? "Light theme" : "Dark theme"; };
  try { // a file opened from disk may have no storage
    const kept = localStorage.getItem("ddbench-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch { /* the system's theme stays */ }
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("ddbench-theme", root.dataset.theme); } catch { /* not kept */ }
    showTheme();
  });
  system.addEventListener("change", showTheme);
  showTheme();
  theme.hidden = false;

  // Sorting: a press sorts numbers from the largest, names from A; a second one turns round; a third restores.
  const units = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
  const valueOf = (cell) => {
    if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
    const text = cell.textContent.trim();
    const found = /^[<>]?([+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?: ([KMGT]iB))?/.exec(text);
    if (found) return Number(found[1].replaceAll(",", "")) * (units[found[2]] ?? 1);
    return text === "" || text === "–" ? null : text.toLowerCase();
  };
  const compare = (a, b) => {
    if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
    return typeof a === "number" ? -1 : 1;
  };
  const sortBy = (table, heading, order) => {
    const body = table.tBodies[0], column = heading.cellIndex;
    const rows = order === "none" ? [...table.original] : [...body.rows];
    if (order !== "none") {
      const sign = order === "ascending" ? 1 : -1;
      const keyed = rows.map((row) => [valueOf(row.cells[column]), row]);
      keyed.sort(([a], [b]) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : sign * compare(a, b)));
      rows.splice(0, rows.length, ...keyed.map(([, row]) => row));
    }
    body.append(...rows);
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    if (order !== "none") heading.setAttribute("aria-sort", order);
  };
  const next = (now, first) => {
    if (!now) return first;
    return now === first ? (first === "ascending" ? "descending" : "ascending") : "none";
  };
  const makeSortable = (table) => {
    table.original = [...table.tBodies[0].rows];
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      const first = heading.classList.contains("name") ? "ascending" : "descending";
      button.addEventListener("click", () => sortBy(table, heading, next(heading.getAttribute("aria-sort"), first)));
    }
  };
  return { makeSortable };
})();
