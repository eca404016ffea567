"""Fleets: their files, their layouts, what replaces what."""
