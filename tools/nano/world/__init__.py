"""Requests as the world sends them: scenes of tools, and messages of every kind."""
