"""The state of images that are learned over many iterations."""
