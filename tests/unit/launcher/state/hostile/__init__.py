"""A state folder that somebody else has been at, against every command that looks into it."""
