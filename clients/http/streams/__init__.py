"""An answer that comes piece by piece: its state, and what an app reads it from.

May import all of `clients.http`.
"""
