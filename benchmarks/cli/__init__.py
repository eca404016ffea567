"""The command line of the benchmarks: `run`, `plan`, `tune`, `report`, and their progress.

May import everything but `benchmarks.selfcheck`, which alone imports from it.
"""
