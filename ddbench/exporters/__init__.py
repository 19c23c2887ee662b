"""Exporters, one file each: how a distilled set is written for another program."""
