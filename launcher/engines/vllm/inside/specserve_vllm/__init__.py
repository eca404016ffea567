"""What the launcher runs inside vLLM's own environment; imports nothing of the launcher.

This folder's parent stands on the server's PYTHONPATH and holds nothing else. Everything here works
with the packages that vLLM brings, of any version.
"""
