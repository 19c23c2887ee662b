for (const table of document.querySelectorAll("table.sortable")) {
  if (table.tBodies[0].rows.length > 1) ddbenchPage.makeSortable(table);
}
