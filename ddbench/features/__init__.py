"""The feature space that sets of images are compared in, and what is measured there."""
