"""Evaluation protocols, one file each; a `_` of the file's stem is a `-` of the name."""
