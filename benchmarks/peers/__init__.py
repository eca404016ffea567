"""Other people's benchmarks on the same server with the same prompts.

Each is a process of its own; its figures are read, never computed anew. Imports
`benchmarks.results`.
"""
