"""A stand-in server on loopback whose times are known, to hold the load generator to.

It speaks SGLang's streaming chat format in a process of its own. Imports `benchmarks.load.target`.
"""
