"""The door for files of a user's: paths are checked, sizes and depths bounded, and every fault is one line."""
