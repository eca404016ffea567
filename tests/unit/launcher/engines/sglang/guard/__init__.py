"""The bounds of requests and connections, and the lines of the log."""
