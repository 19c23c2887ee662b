"""What methods share that make images for a network trained on the real ones, their teacher."""
