"use strict";
ddbenchPage.makeCopyable = (() => { // the rows of a table that are shown, in their order, for papers and spreadsheets
  const textOf = (cell) => {
    const copy = cell.cloneNode(true);
    for (const part of copy.querySelectorAll(".mark, .unseen")) part.remove();
    return copy.textContent.replace(/\s+/g, " ").trim();
  };
  const read = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    return {
      heads: heads.map(textOf),
      isName: heads.map((head) => head.classList.contains("name")),
      rows: rows.map((row) => [...row.cells].map((cell) => ({ text: textOf(cell), best: cell.classList.contains("best") }))),
    };
  };
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const special = {
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$", "–": "--", "≥": "$\\ge$",
    "≤": "$\\le$", "<": "$<$", ">": "$>$", "×": "$\\times$", "−": "$-$",
  };
  const latex = (text) => text.replace(/[\\~^±–≥≤<>×−&%$#_{}]/g, (sign) => special[sign] ?? `\\${sign}`);
  const forms = {
    CSV: ({ heads, rows }) => [heads, ...rows.map((row) => row.map(({ text }) => text))]
      .map((row) => row.map(quoted).join(",")).join("\n"),
    LaTeX: ({ heads, isName, rows }) => [
      `\\begin{tabular}{${isName.map((name) => (name ? "l" : "r")).join("")}}`, "\\toprule",
      `${heads.map(latex).join(" & ")} \\\\`, "\\midrule",
      ...rows.map((row) => `${row.map(({ text, best }) => (best ? `\\textbf{${latex(text)}}` : latex(text))).join(" & ")} \\\\`),
      "\\bottomrule", "\\end{tabular}",
    ].join("\n"),
    Markdown: ({ heads, isName, rows }) => [
      heads, isName.map((name) => (name ? ":--" : "--:")),
      ...rows.map((row) => row.map(({ text, best }) => { const safe = text.replaceAll("|", "\\|"); return best ? `**${safe}**` : safe; })),
    ].map((row) => `| ${row.join(" | ")} |`).join("\n"),
  };
  const put = async (text) => { // a page that was opened from disk may not be allowed the first way
    try { await navigator.clipboard.writeText(text); return true; } catch { /* the old way */ }
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  return (table) => {
    const line = document.createElement("p"), said = document.createElement("span");
    line.className = "copy";
    said.setAttribute("role", "status");
    line.append("Copy as ");
    for (const [name, make] of Object.entries(forms)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.setAttribute("aria-label", `Copy as ${name}: ${table.caption.textContent}`);
      button.addEventListener("click", async () => {
        const shown = read(table), done = await put(`${make(shown)}\n`);
        said.textContent = done ? `${shown.rows.length} row${shown.rows.length === 1 ? "" : "s"} copied` : "The browser does not allow copying";
        button.focus();
      });
      line.append(button);
    }
    line.append(said);
    table.closest(".wide").after(line);
  };
})();
