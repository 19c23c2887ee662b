"""What methods share that follow experts."""
