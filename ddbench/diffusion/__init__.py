"""Class-conditional diffusion transformers: backbones, fine-tuning with minimax criteria, sampling."""

import warnings

# In a notebook without ipywidgets, importing diffusers would warn of how its own bars look, which are never shown.
warnings.filterwarnings("ignore", message="IProgress not found")
