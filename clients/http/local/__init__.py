"""A server of this machine: its record, the files of its keys, the proof that a port is its own.

May import `errors`.
"""
