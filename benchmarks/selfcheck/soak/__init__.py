"""The launcher under kills for hours: what is killed, what is watched, what is left.

`python -m benchmarks.selfcheck.soak` runs it, docs/soak.md says how. Imports the launcher only.
"""
