"""The door for what a user gives: files, paths, values and tensors are checked, and every fault is one line."""
