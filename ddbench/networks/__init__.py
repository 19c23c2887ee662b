"""One file per network; the file's name is the registered name."""
