"""Distilled sets: in memory, and as files."""
