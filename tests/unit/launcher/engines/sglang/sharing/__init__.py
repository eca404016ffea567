"""One import for all processes of a server."""
