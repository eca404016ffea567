"""A stand-in server on loopback whose times are known, to hold the load generator to."""
