"""An example package of plug-ins: one of every kind, each in a file of its name."""
