"""One file per evaluator; the file's name is the registered name."""
