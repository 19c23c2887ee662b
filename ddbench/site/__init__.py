"""The leaderboard: results as a folder of static pages, opened from disk or put on any web server."""
