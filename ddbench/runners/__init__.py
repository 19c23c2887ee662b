"""Where cells run: one file a runner, found by its name."""
