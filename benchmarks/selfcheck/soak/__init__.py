"""The launcher under kills for hours: what is killed, what is watched, what is left."""
