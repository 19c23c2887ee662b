"""The program: what it is asked and what it says."""
