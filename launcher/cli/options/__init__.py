"""Options of the commands that take a whole configuration, and how they may be spelled."""
