"""Finding a server and talking to it: endpoint, keys, retries, time-outs, the stream, its failures.

May import `errors`, `reply` and `events`.
"""
