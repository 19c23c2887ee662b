"""Differentiable augmentation, and the ZCA whitening of images."""
