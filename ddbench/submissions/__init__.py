"""Results that somebody submits: what a file of them must be, and whether a number comes out again."""
