"""The commands, one file each; `ddbench.cli.main` finds them by name, so that a new file is a new command."""
