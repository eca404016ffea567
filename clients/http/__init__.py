"""Finding a server and talking to it: endpoint, keys, bounds, retries, times, stream, failures.

May import `errors`, `reply` and `events`.
"""
