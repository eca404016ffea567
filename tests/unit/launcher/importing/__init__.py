"""Launches that already run, turned into configurations."""
