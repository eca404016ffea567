"""Looking at servers: sources, usage, the page."""
