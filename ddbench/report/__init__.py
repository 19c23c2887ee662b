"""What people look at: pictures of distilled sets."""
