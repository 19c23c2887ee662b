(() => {
  const byId = (id) => document.getElementById(id);
  const STEP = 12; // rankings that are shown at once
  const filters = byId("filters"), more = byId("more");
  const names = ["dataset", "ipc", "protocol", "labels", "network"];
  const rankings = [...document.querySelectorAll("article.ranking")].map((part) => ({ part, rows: null, text: "" }));
  let limit = STEP;

  // What is searched is read once, when it is first needed: most visitors search nothing.
  const rowsOf = (ranking) => {
    if (ranking.rows === null) {
      const { dataset, ipc, protocol, labels, network } = ranking.part.dataset;
      const about = `${dataset} ipc ${ipc} ${protocol} ${labels} ${network} `.toLowerCase();
      ranking.rows = [...ranking.part.querySelectorAll("tbody tr")].map((row) => ({
        row, method: row.dataset.method, text: about + row.querySelector("th").textContent.toLowerCase(),
      }));
    }
    return ranking.rows;
  };

  const show = (ranking) => {
    ranking.part.hidden = false;
    const table = ranking.part.querySelector("table");
    if (!table.original && table.tBodies[0].rows.length > 1) ddbenchPage.makeSortable(table);
  };

  // The filters are what the address says, so that a view can be kept and sent.
  const chosenOf = () => Object.fromEntries([...new FormData(filters)].filter(([, value]) => value.trim() !== ""));
  const apply = () => {
    const chosen = chosenOf();
    const words = (chosen.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const looks = chosen.method !== undefined || words.length > 0;
    let fitting = 0, shown = 0;
    for (const ranking of rankings) {
      let fits = names.every((name) => chosen[name] === undefined || ranking.part.dataset[name] === chosen[name]);
      if (fits && (looks || ranking.narrowed)) {
        let left = 0;
        for (const { row, method, text } of rowsOf(ranking)) {
          row.hidden = (chosen.method !== undefined && method !== chosen.method) || !words.every((word) => text.includes(word));
          left += row.hidden ? 0 : 1;
        }
        ranking.narrowed = looks;
        fits = left > 0;
      }
      if (fits) fitting += 1;
      if (fits && shown < limit) {
        shown += 1;
        show(ranking);
      } else ranking.part.hidden = true;
    }
    byId("shown").textContent = `${fitting} of ${rankings.length} ranking${rankings.length === 1 ? "" : "s"} fit`
      + (shown < fitting ? `, the first ${shown} are shown` : "");
    byId("nothing").hidden = fitting > 0;
    more.hidden = shown === fitting;
    return fitting;
  };

  const keep = () => {
    const text = new URLSearchParams(chosenOf()).toString();
    history.replaceState(null, "", text ? `#?${text}` : "#");
  };
  const read = () => {
    const hash = location.hash;
    const wanted = new URLSearchParams(hash.startsWith("#?") ? hash.slice(2) : "");
    if (hash.startsWith("#?") || hash === "" || hash === "#") {
      filters.reset();
      for (const [name, value] of wanted) {
        const field = filters.elements.namedItem(name);
        if (field && "value" in field) field.value = value;
        if (field && field.value !== value) field.value = ""; // an address of other results
      }
    }
    limit = STEP;
    apply();
    const target = hash.startsWith("#?") ? null : byId(hash.slice(1));
    const found = rankings.find(({ part }) => part === target);
    if (found) { // a link from the page of a method: the ranking alone, by what it is of
      filters.reset();
      for (const name of names) filters.elements.namedItem(name).value = found.part.dataset[name];
      apply();
      keep();
      found.part.scrollIntoView();
    }
  };

  // On a phone the choices are folded away, unless some are made.
  const fold = () => {
    const isChosen = [...filters.querySelectorAll("select")].some((field) => field.value !== "");
    byId("choices").open = isChosen || !matchMedia("(max-width: 40rem)").matches;
  };

  filters.addEventListener("input", () => { limit = STEP; apply(); keep(); });
  filters.addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", () => { filters.reset(); limit = STEP; apply(); keep(); });
  more.addEventListener("click", () => {
    const before = rankings.filter(({ part }) => !part.hidden).length;
    limit += STEP;
    apply();
    rankings.filter(({ part }) => !part.hidden)[before]?.part.querySelector(".wide").focus();
  });
  for (const table of document.querySelectorAll("#methods table.sortable")) ddbenchPage.makeSortable(table);
  addEventListener("hashchange", read);
  filters.hidden = rankings.length === 0;
  read();
  fold();
})();
