"""Loggers, one file each: a tracker that what a run logs goes to; the file's name is the registered name."""
