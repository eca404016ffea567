"""One flow for both clients: what a request does, step by step, whoever performs the steps.

Nothing here waits or sends; the clients do. May import `http`, `tools`, `request` and what they
may.
"""
