"""What the built-in workloads say, a module each. Pure: no I/O.

Each has `write(draw, words)`: one request as a `writing.Draft`, whose user part has about so many
words. The bytes are part of what a report's hash stands for: a change of a text here is a change
of the workload, and `test_builtin` holds the hashes.
"""
