"""Importers, one file each: how the distilled sets that other programs write are read."""
