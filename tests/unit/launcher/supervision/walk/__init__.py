"""Every state of a server x every process of it x every signal: a generated walk."""
