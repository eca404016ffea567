"""The command line of the benchmarks: `run`, `plan`, `tune`, `report`, and their progress.

May import everything; nobody imports it.
"""
