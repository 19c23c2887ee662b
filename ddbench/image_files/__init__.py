"""Image files on disk: found by class folder, and decoded as they would be seen."""
