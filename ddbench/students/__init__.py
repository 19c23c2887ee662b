"""Training a network on a set."""
