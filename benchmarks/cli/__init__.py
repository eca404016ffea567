"""The benchmarks' command line: `run`, `tune`, `report`, `compare`, `workloads`, progress.

May import everything but `benchmarks.selfcheck`, which alone imports from it.
"""
