"""What methods share that choose real images."""
