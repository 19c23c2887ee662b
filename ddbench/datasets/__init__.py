"""One file per dataset; the file's name is the registered name."""
