"""One cell and many: distil, evaluate, keep."""
