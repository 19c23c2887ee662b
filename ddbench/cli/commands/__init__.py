"""The commands, one file each; `ddbench.cli` finds them by name, so that a new file is a new command."""
