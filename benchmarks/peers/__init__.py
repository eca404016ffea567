"""Other people's benchmarks on the same server with the same prompts.

Each is a process of its own; its figures are read, never computed anew. `agreement` says how far
they and ours agree. Imports `benchmarks.load.target` and `benchmarks.results`.
"""
