"""This machine: its files, its clock and memory, its identity."""
