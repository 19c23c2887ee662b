"""What `dc` and `dsa` share."""
