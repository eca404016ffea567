"""The same as a page, on this machine alone: a server for it, and its three files."""
