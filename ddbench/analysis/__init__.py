"""Numbers from results: aggregates, comparisons, tests; nothing is shown here."""
