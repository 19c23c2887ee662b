"""Class-conditional diffusion transformers: backbones, fine-tuning with minimax criteria, sampling."""
